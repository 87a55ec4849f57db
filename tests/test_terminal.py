"""On a terminal, in a shell, and in windows that are no terminal, as IDLE has them."""

import os
import re
import shlex
import shutil
import signal
import termios
from pathlib import Path

import pexpect
import pytest
from helpers import CAME, STAMP, WAITS, command, pairs, run, screen, servers, signals, wait_until


@pytest.fixture
def readline():
    """GNU readline; skip where another library edits lines, as on macOS, or none does."""
    if 'GNU' not in pytest.importorskip('readline').__doc__:
        pytest.skip('takes GNU readline')


@pytest.fixture
def person(terminal, pair):
    """A client of either kind at its prompt, for a person to type at."""
    return terminal(pair.client, pair.server.port)


@pairs
def test_two_terminals_show_the_session_of_the_book(server_terminal, terminal, script, client):
    server = server_terminal(script)
    person = terminal(client, server.port)
    for line in 'hi', 'spanish inquisition':
        person.sendline(line)
        person.expect_exact('> ')
    person.sendline()
    shown = re.sub(STAMP.decode(), '[]', screen(person))
    assert shown == '> hi\n[]hi\n> spanish inquisition\n[]spanish inquisition\n> \n'
    times = 1 if script == 'tsTserv.py' else 2
    for _ in range(times):
        server.expect_exact(f')\r\n{WAITS[script]}\r\n')
    server.sendintr()
    shown = screen(server)
    addr = re.search(r"\('127\.0\.0\.1', \d+\)", shown)[0]
    came = f'{WAITS[script]}\n{CAME[script]}{addr}\n'
    assert shown == f'{came * times}{WAITS[script]}\n^C\n'
    assert (person.exitstatus, server.exitstatus) == (0, 0)


def assert_it_leaves_the_terminal_echoing_and_editing(person, leave) -> None:
    """Let a client leave, and check that keys are echoed and lines edited as before."""
    device = os.readlink(f'/proc/{person.pid}/fd/0')
    kept_open = os.open(device, os.O_RDWR | os.O_NOCTTY)
    leave()
    wait_until(lambda: not person.isalive())
    mode = termios.tcgetattr(kept_open)[3]
    os.close(kept_open)
    assert mode & termios.ECHO and mode & termios.ICANON


WAYS_OUT = {  # what is entered before, and the key
    'Enter': ('', '\r'),
    'Ctrl-D': ('', '\x04'),
    'Ctrl-C': ('', '\x03'),
    'Ctrl-C in a line': ('half a li', '\x03'),
    'SIGTERM': ('', None),
}


@pytest.mark.departure('`entered()`, on a terminal', 'EOFError', way='Ctrl-D')
@pytest.mark.parametrize('way', WAYS_OUT)
def test_the_client_quits_and_leaves_the_terminal_echoing_and_editing(terminal, pair, way):
    person = terminal(pair.client, pair.server.port)
    line, key = WAYS_OUT[way]
    person.send(line)
    person.expect_exact(line)

    def leave() -> None:  # at its prompt, both are switched off
        person.send(key) if key else person.kill(signal.SIGTERM)

    assert_it_leaves_the_terminal_echoing_and_editing(person, leave)
    shown = screen(person).replace('^D', '')  # on macOS, it is shown
    assert shown == f'> {line}' + '\n' * (way != 'SIGTERM')
    assert person.exitstatus == 0


SLOW = """
    import termios, time

    def slow(*settings, tcsetattr=termios.tcsetattr):
        tcsetattr(*settings)
        time.sleep(0.3)  # time enough for the next prompt

    termios.tcsetattr = slow
"""


def test_ctrl_c_between_two_prompts_leaves_the_terminal_echoing(terminal, pair, before_script):
    person = terminal(pair.client, pair.server.port, env=before_script(SLOW))
    person.send('hi\r' * 60)
    person.expect_exact(']hi')
    assert_it_leaves_the_terminal_echoing_and_editing(person, lambda: person.kill(signal.SIGINT))


@servers
def test_a_kill_from_elsewhere_puts_no_newline_into_the_shells_prompt(server_terminal, script):
    server = server_terminal(script)
    server.expect_exact('...\r\n')
    server.kill(signal.SIGTERM)
    assert (screen(server).count('\n'), server.exitstatus) == (1, 0)


@signals
def test_a_signal_ends_a_script_also_after_ctrl_s(pair, terminal, server_terminal, person, signum):
    server = server_terminal(pair.server.script)
    for process in person, server:
        process.send('\x13')  # Ctrl-S
    visitor = terminal(pair.client, server.port)  # now the server has a line to print
    visitor.sendline('hi')
    for process in person, server:
        process.kill(signum)
        wait_until(lambda process=process: not process.isalive())
        assert process.exitstatus == 0


def test_the_arrow_keys_edit_the_line_and_bring_back_earlier_ones(person):
    left, up = '\x1b[D', '\x1b[A'
    for typed, line in (f'hllo{3 * left}e', 'hello'), (f'{up}!', 'hello!'), (2 * up, 'hello'):
        person.sendline(typed)
        person.expect_exact(f']{line}\r\n> ')


def test_typed_text_comes_back_in_every_locale(terminal, pair, readline):
    for locale in 'C', 'C.UTF-8', 'xx_XX.UTF-8':  # no machine has the last one
        for encoding in '', 'cp437:strict':
            env = os.environ | {'TERM': 'dumb', 'LC_ALL': locale, 'PYTHONIOENCODING': encoding}
            person = terminal(pair.client, pair.server.port, env=env)
            for line in 'é'.encode(), 'été, Дмитрий'.encode(), b'caf\xe9':
                if locale == 'C' or line != b'caf\xe9':  # in UTF-8, that is no key
                    person.sendline(line)
                    person.expect_exact(b']%s\r\n> ' % line)
            person.close(force=True)


@pytest.mark.parametrize('typed', ['\x16\none\x16\ntwo\x16\n', '\x1b[200~one\rtwo\x1b[201~'])
def test_each_of_several_lines_typed_in_one_or_pasted_is_a_message(person, typed, readline):
    person.sendline(typed)
    for line in 'one', 'two':
        person.expect(STAMP + f'{line}\r\n'.encode())
    person.expect_exact('> ')
    person.sendline('three')
    person.expect(rb'three\r\n' + STAMP + rb'three\r\n')


def test_the_prompt_is_there_where_both_input_and_output_are_a_terminal(pair, tmp_path, readline):
    for redirection in '1>', '2>', '0<':
        file = tmp_path / redirection[0]
        file.write_text('hi\n')
        words = shlex.join(command(pair.client, pair.server.port))
        shell = ['-c', f'{words} {redirection} {file}; echo the end']
        person = pexpect.spawn('/bin/sh', shell)
        if redirection != '0<':
            person.send('hi\n\n')
        person.expect_exact('the end')
        shown = file.read_bytes() if redirection == '1>' else person.before
        assert (person.before + shown).count(b'> ') == 4 * (redirection == '2>')
        assert len(re.findall(STAMP + rb'hi\r?\n', shown)) == 1


@pytest.fixture
def shell(readline):
    """An interactive shell on a pseudo-terminal, with jobs to be stopped."""
    bash = shutil.which('bash') or pytest.skip('takes bash')
    # Without HISTFILE= it would save its history over the user's own.
    environment = os.environ | {'PS1': 'ready$ ', 'TERM': 'dumb', 'HISTFILE': ''}
    shell = pexpect.spawn(bash, ['--norc', '--noprofile', '-i'], env=environment)
    shell.expect_exact('ready$ ')
    yield shell
    shell.close(force=True)


WAITS_FOR = [('tsTclnt.py', 'a line'), ('tsUclnt.py', 'a line'), ('tsTclnt.py', 'a reply')]


@pytest.mark.parametrize(('played', 'waits_for'), WAITS_FOR, indirect=['played'])
def test_a_client_killed_in_the_background_leaves_the_terminal_alone(shell, played, waits_for):
    client, port, accept = played
    shell.sendline(shlex.join(command(client, port)))
    shell.expect_exact('\n> ')
    if waits_for == 'a reply':
        shell.sendline('anybody there?')
        assert accept().recv(1024).rstrip(b'\n') == b'anybody there?'
    shell.send('\x1a')  # Ctrl-Z
    shell.expect_exact('ready$ ')
    shell.sendline('jobs -p')
    shell.expect(r'\n(\d+)\r\n.*ready\$ ')
    process = Path(f'/proc/{int(shell.match[1])}')
    shell.sendline('kill %1')
    wait_until(lambda: not process.exists())  # the shell has seen its end
    shell.sendline()
    shell.expect_exact('Done')  # and not, say, "Exit 1"
    shell.sendline('echo on"c"e')
    shell.expect_exact('\nonce')
    assert shell.before.count(b'on"c"e') == 1


WINDOW = """
    import io, os, sys

    class Window(io.StringIO):  # a terminal to whoever asks, and no descriptor
        def write(self, text):
            with open(os.environ['WINDOW'], 'a', encoding='utf-8') as file:
                file.write(text)

        def isatty(self):
            return True

    sys.stdin, sys.stdout = Window('hi\\né\\n\\n'), Window()
"""


@pairs
def test_in_a_window_they_log_ask_and_show(serve, tmp_path, before_script, script, client):
    environment = before_script(WINDOW)
    log, window = tmp_path / 'log', tmp_path / 'window'
    log.touch()
    server = serve(script, env=environment | {'WINDOW': str(log)}, ready=lambda _: log.read_text())
    result = run(client, server.port, b'', env=environment | {'WINDOW': str(window)})
    assert (result.stdout, result.stderr, result.returncode) == (b'', b'', 0)
    assert re.sub(STAMP.decode(), '', window.read_text('utf-8')) == '> hi\n> é\n> '
    wait_until(lambda: CAME[script] + "('127.0.0.1', " in log.read_text())
