"""On a terminal: the sessions of the section, keys, the terminal left as it was; and in
windows, such as IDLE's, that are no terminal of the system's.
"""

import os
import re
import shlex
import signal
import socket
import termios
from pathlib import Path

import pexpect
import pytest
from helpers import (
    PATIENCE,
    STAMP,
    Server,
    command,
    on_a_free_port,
    pairs,
    prompted,
    run,
    screen,
    signals,
    terminal,
    unstamped,
    wait_until,
)

CLIENT_SCREEN = r'> hi\n[]hi\n> spanish inquisition\n[]spanish inquisition\n> \n'
SERVER_SCREENS = {
    'tsTserv.py': r"""waiting for connection\.\.\.
\.\.\.connected from: \('127\.0\.0\.1', \d+\)
waiting for connection\.\.\.
\^C
""",
    'tsUserv.py': r"""waiting for message\.\.\.
\.\.\.received from and returned to: \('127\.0\.0\.1', (\d+)\)
waiting for message\.\.\.
\.\.\.received from and returned to: \('127\.0\.0\.1', \1\)
waiting for message\.\.\.
\^C
""",
}
KEYS = {'Enter': '\r', 'Ctrl-D': '\x04', 'Ctrl-C': '\x03', 'SIGTERM': None}


def server_terminal(script: str) -> pexpect.spawn:
    """Run a server on a pseudo-terminal; it serves at its .port."""

    def start(port: int) -> pexpect.spawn | None:
        process = terminal(script, port)
        taken = process.expect_exact(['waiting for', 'Address already in use'])
        return None if taken else process

    return on_a_free_port(start)


@pytest.fixture
def person(pair):
    """A client of either kind at its prompt, for a person to type at."""
    return prompted(pair.client, pair.server.port)


@pairs
def test_two_terminals_show_the_session_of_the_book(script, client):
    server = server_terminal(script)
    person = terminal(client, server.port)
    for line in 'hi', 'spanish inquisition', '':
        person.expect_exact('> ')
        person.sendline(line)
    assert re.fullmatch(CLIENT_SCREEN.replace('[]', STAMP.decode()), screen(person))
    assert person.exitstatus == 0
    server.sendintr()
    assert re.fullmatch(SERVER_SCREENS[script], screen(server))
    assert server.exitstatus == 0


# Keys


@pytest.mark.parametrize('key', ['Enter', 'Ctrl-D', 'Ctrl-C'])
def test_enter_end_of_input_and_ctrl_c_quit_the_client(root, pair, key):
    person = prompted(pair.client, pair.server.port, root=root)
    person.send(KEYS[key])
    assert screen(person) == '> \n'
    assert person.exitstatus == 0


def test_ctrl_c_in_the_middle_of_a_line_quits_the_client(person):
    person.send('half a li')
    person.expect_exact('half a li')
    person.send('\x03\x03\x03')
    assert 'Traceback' not in screen(person)
    assert person.exitstatus == 0


def test_the_arrow_keys_edit_the_line_and_bring_back_earlier_ones(person):
    left, up = '\x1b[D', '\x1b[A'
    for typed, line in (f'hllo{3 * left}e', 'hello'), (f'{up}!', 'hello!'), (2 * up, 'hello'):
        person.sendline(typed)
        person.expect_exact(f']{line}\r\n> ')


def test_typed_text_comes_back_in_every_locale(pair):
    for locale in 'C', 'C.UTF-8', 'xx_XX.UTF-8':  # no machine has the last one
        for encoding in '', 'cp437:strict':
            environment = {'TERM': 'dumb', 'LC_ALL': locale, 'PYTHONIOENCODING': encoding}
            person = prompted(pair.client, pair.server.port, env=environment)
            for line in 'é'.encode(), 'été, Дмитрий'.encode(), b'caf\xe9':
                if locale == 'C' or line != b'caf\xe9':  # in UTF-8, that is no key
                    person.sendline(line)
                    person.expect_exact(b']%s\r\n> ' % line)
            person.close(force=True)


@pytest.mark.parametrize('typed', ['\x16\none\x16\ntwo\x16\n', '\x1b[200~one\rtwo\x1b[201~'])
def test_each_of_several_lines_typed_in_one_or_pasted_is_a_message(person, typed):
    person.sendline(typed)
    for line in 'one', 'two':
        person.expect(STAMP + f'{line}\r\n'.encode())
    person.expect_exact('> ')
    person.sendline('three')
    person.expect(rb'three\r\n' + STAMP + rb'three\r\n')


def test_a_typed_line_longer_than_a_message_comes_back_whole(pair):
    line = '0123456789' * 350
    person = prompted(pair.client, pair.server.port, echo=False)
    person.sendline(line)
    person.expect_exact('> ')
    assert len(re.findall(STAMP, person.before)) == 4
    assert unstamped(person.before).replace(b'\r\n', b'').endswith(line.encode())


def test_the_prompt_is_there_where_both_input_and_output_are_a_terminal(pair, tmp_path):
    for redirection in '1>', '2>', '0<':
        file = tmp_path / redirection[0]
        file.write_text('hi\n')
        words = shlex.join(command(pair.client, pair.server.port))
        shell = ['-c', f'{words} {redirection} {file}; echo the end']
        person = pexpect.spawn('/bin/sh', shell, timeout=PATIENCE)
        if redirection != '0<':
            person.send('hi\n\n')
        person.expect_exact('the end')
        assert person.before.count(b'> ') == 2 * (redirection == '2>')
        shown = file.read_bytes() if redirection == '1>' else person.before
        assert len(re.findall(STAMP + rb'hi\r?\n', shown)) == 1


# The terminal afterwards


def assert_it_leaves_the_terminal_echoing_and_editing(person, leave) -> None:
    """Let a client leave, and check that keys are echoed and lines edited as before."""
    device = os.readlink(f'/proc/{person.pid}/fd/0')
    kept_open = os.open(device, os.O_RDWR | os.O_NOCTTY)
    leave()
    wait_until(lambda: not person.isalive())
    mode = termios.tcgetattr(kept_open)[3]
    os.close(kept_open)
    assert mode & termios.ECHO and mode & termios.ICANON


@pytest.mark.parametrize('key', KEYS)
def test_the_client_leaves_the_terminal_echoing_and_editing(person, key):
    # At its prompt, both are switched off.
    def leave() -> None:
        person.send(KEYS[key]) if KEYS[key] else person.kill(signal.SIGTERM)

    assert_it_leaves_the_terminal_echoing_and_editing(person, leave)


SLOW = """
    import termios, time

    def slow(*settings, tcsetattr=termios.tcsetattr):
        tcsetattr(*settings)
        time.sleep(0.3)  # time enough for the next prompt

    termios.tcsetattr = slow
"""


def test_ctrl_c_between_two_prompts_leaves_the_terminal_echoing_and_editing(pair, before_script):
    person = prompted(pair.client, pair.server.port, env=before_script(SLOW))
    person.send('hi\r' * 60)
    person.expect_exact(']hi')
    assert_it_leaves_the_terminal_echoing_and_editing(person, lambda: person.kill(signal.SIGINT))


@pytest.mark.parametrize('script', SERVER_SCREENS)
def test_a_kill_from_elsewhere_puts_no_newline_into_the_shells_prompt(script):
    server = server_terminal(script)
    server.expect_exact('...\r\n')
    server.kill(signal.SIGTERM)
    assert screen(server).count('\n') == 1
    assert server.exitstatus == 0


@pytest.fixture
def shell(monkeypatch):
    """An interactive shell on a pseudo-terminal, with jobs to be stopped."""
    monkeypatch.setenv('PS1', 'ready$ ')
    monkeypatch.setenv('TERM', 'dumb')
    shell = pexpect.spawn('/bin/bash', ['--norc', '--noprofile', '-i'], timeout=PATIENCE)
    shell.expect_exact('ready$ ')
    yield shell
    shell.close(force=True)


def stop_and_kill(shell: pexpect.spawn) -> None:
    """Press Ctrl-Z under a client, `kill %1` it, and see it end with status 0."""
    shell.send('\x1a')
    shell.expect_exact('ready$ ')
    shell.sendline('jobs -p')
    shell.expect(r'\n(\d+)\r\n.*ready\$ ')
    status = Path(f'/proc/{int(shell.match[1])}/stat')
    shell.sendline('kill %1')
    wait_until(lambda: not status.exists() or ') Z' in status.read_text())
    shell.sendline()
    shell.expect_exact('Done')  # and not, say, "Exit 1"


def test_a_client_killed_in_the_background_leaves_the_shells_terminal_alone(pair, shell):
    shell.sendline(shlex.join(command(pair.client, pair.server.port)))
    shell.expect_exact('\n> ')
    stop_and_kill(shell)
    shell.sendline('echo on"c"e')
    shell.expect_exact('\nonce')
    assert shell.before.count(b'on"c"e') == 1


def test_a_client_that_waits_for_a_reply_can_be_killed_in_the_background(shell, listener):
    shell.sendline(shlex.join(command('tsTclnt.py', listener.getsockname()[1])))
    shell.expect_exact('\n> ')
    shell.sendline('anybody there?')
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(PATIENCE)
        assert connection.recv(1024) == b'anybody there?\n'
        stop_and_kill(shell)


@signals
def test_a_signal_ends_a_script_also_after_ctrl_s(pair, person, signum):
    server = server_terminal(pair.server.script)
    for process in person, server:
        process.send('\x13')  # Ctrl-S
    kind = socket.SOCK_STREAM if 'Tserv' in pair.server.script else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as visitor:
        visitor.connect(('127.0.0.1', server.port))
        visitor.send(b'hi')
    for process in person, server:
        process.kill(signum)
        wait_until(lambda process=process: not process.isalive())
        assert process.exitstatus == 0


# Windows that are no terminal of the system's

WINDOW = """
    import io, os, sys

    class Window(io.TextIOBase):
        '''As IDLE has it: a terminal to whoever asks, and no descriptor.'''

        def readline(self, size=-1):
            typed = os.environ['KEYS'].partition(',')
            os.environ['KEYS'] = typed[2]
            return typed[0] + typed[1].replace(',', chr(10))

        def write(self, text):
            file = os.open(os.environ['WINDOW'], os.O_WRONLY | os.O_APPEND)
            os.write(file, text.encode())
            os.close(file)

        def isatty(self):
            return True

    sys.stdin = sys.stdout = Window()
"""


@pairs
def test_in_a_window_without_a_descriptor_the_server_logs_the_client_asks_and_shows(
    tmp_path, before_script, script, client
):
    environment = before_script(WINDOW) | {'KEYS': 'hi,é,,'}
    windows = {name: tmp_path / name for name in (script, client)}
    for window in windows.values():
        window.touch()

    def ready(server: Server) -> str:
        return windows[script].read_text()

    popen = {'env': environment | {'WINDOW': str(windows[script])}, 'ready': ready}
    server = Server(tmp_path, script, **popen)
    environment['WINDOW'] = str(windows[client])
    result = run(client, server.port, b'', env=environment)
    assert (result.stdout, result.stderr, result.returncode) == (b'', b'', 0)
    assert unstamped(windows[client].read_bytes()).decode() == '> hi\n> é\n> '
    wait_until(lambda: "('127.0.0.1', " in ready(server))
    assert server.stop() == 0
