"""On a terminal: the session of the book, the keys, and the terminal as it was."""

import re
import shlex

import helpers
import pytest
from helpers import CAME, ROOT, STAMP, WAITS, command, departure, pairs, press_ctrl_c, wait_until

pexpect = pytest.importorskip('pexpect')
pytest.importorskip('readline')


def screen(person) -> str:
    """Wait for the end of a program on a terminal; return all that it has shown, without stamps."""
    person.expect(pexpect.EOF)
    person.close()
    shown = person.logfile_read.getvalue().decode().replace('\r\n', '\n')
    return re.sub(STAMP.decode(), '[]', shown)


@pairs
def test_session_of_the_book(terminal, script, client):
    port = helpers.free_port()
    server = terminal(script, port, text=WAITS[script])
    person = terminal(client, port)

    for line in ['hi', 'spanish inquisition']:
        person.sendline(line)
        person.expect_exact('> ')
    person.sendline()
    assert screen(person) == '> hi\n[]hi\n> spanish inquisition\n[]spanish inquisition\n> \n'
    assert person.exitstatus == 0

    came = CAME[script] + r" \('127\.0\.0\.1', \d+\)\n" + re.escape(WAITS[script]) + r'\n'
    times = 1 if script == 'tsTserv.py' else 2
    for _ in range(times):
        server.expect_exact(f'\n{WAITS[script]}')
    press_ctrl_c(server)
    shown = screen(server).removeprefix(f'{WAITS[script]}\n')
    assert re.fullmatch(rf'({came}){{{times}}}\^C\n', shown)
    assert server.exitstatus == 0


KEYS = {'Enter': ('', '\r'), 'Ctrl-C': ('', '\x03'), 'Ctrl-C in mid-line': ('half a li', '\x03')}


@pytest.mark.parametrize(('line', 'key'), KEYS.values(), ids=KEYS)
@pairs
def test_key_that_quits(serve, in_shell, script, client, line, key):
    """The shell's prompt begins a line, and the terminal echoes and edits as before."""
    words = shlex.join(command(ROOT, client, serve(script).port))
    person = in_shell(f'{words}; echo "status $?"; stty -a')
    person.expect_exact('> ')
    person.send(line)
    person.expect_exact(line)

    helpers.wait_for_sleep(person.pid)
    person.send(key)

    person.expect_exact('\r\nstatus 0\r\n')
    assert person.before in [b'', b'^C']
    modes = person.read().split()
    assert b'echo' in modes
    assert b'icanon' in modes


@departure('`entered()`, on a terminal', seen='EOFError')
@pairs
def test_ctrl_d(serve, terminal, script, client):
    person = terminal(client, serve(script).port)

    person.send('\x04')

    assert screen(person).replace('^D', '') == '> \n'


def test_ctrl_c_while_it_waits(terminal, listener):
    person = terminal('tsTclnt.py', listener.getsockname()[1])
    person.sendline('anybody there?')
    connection, _ = listener.accept()

    with connection:
        connection.recv(1024)
        press_ctrl_c(person)
        assert screen(person) == '> anybody there?\n^C\n'
    assert person.exitstatus == 0


@pairs
def test_arrow_keys(serve, terminal, script, client):
    """They edit the line and bring back earlier ones."""
    person = terminal(client, serve(script).port)

    person.sendline('hllo' + 3 * '\x1b[D' + 'e')
    person.expect_exact(']hello\r\n> ')
    person.sendline('\x1b[A' + '!')
    person.expect_exact(']hello!\r\n> ')


@pairs
def test_typed_text(serve, terminal, script, client):
    person = terminal(client, serve(script).port)

    person.sendline('été, Дмитрий, 🐍')

    person.expect_exact(']été, Дмитрий, 🐍\r\n> '.encode())


@pairs
def test_pasted_lines(serve, terminal, script, client):
    person = terminal(client, serve(script).port)

    person.send('one\rtwo\rthree\r')

    for line in ['one', 'two', 'three']:
        person.expect_exact(f']{line}\r\n')


@pairs
def test_no_prompt_where_output_is_a_file(serve, in_shell, tmp_path, script, client):
    file = tmp_path / 'replies'

    words = shlex.join(command(ROOT, client, serve(script).port))
    person = in_shell(f'{words} > {file}; echo "status $?"')
    person.send('hi\n\n')
    person.expect_exact('status 0')

    assert re.fullmatch(STAMP + b'hi\n', file.read_bytes())
    assert b'>' not in person.before


@pairs
def test_no_prompt_where_input_is_a_file(serve, in_shell, tmp_path, script, client):
    """Nor is there an empty line at its end."""
    file = tmp_path / 'lines'
    file.write_text('hi\n')

    words = shlex.join(command(ROOT, client, serve(script).port))
    person = in_shell(f'{words} < {file}; echo "status $?"')
    person.expect_exact('status 0')

    assert re.fullmatch(STAMP + b'hi\r\n', person.before)


@helpers.servers
def test_ctrl_c_ends_a_server_and_tee(in_shell, script, tmp_path):
    """Its output has no reader then, and so no newline is printed."""
    file = tmp_path / 'log'
    words = shlex.join(command(ROOT, script, helpers.free_port()))
    person = in_shell(f'{words} 2> {tmp_path}/errors | tee {file}')
    person.expect_exact(WAITS[script])
    wait_until(lambda: file.read_text() == f'{WAITS[script]}\n')

    press_ctrl_c(person)
    person.expect(pexpect.EOF)

    assert file.read_text() == f'{WAITS[script]}\n'
    assert (tmp_path / 'errors').read_text() == ''
