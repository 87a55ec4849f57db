"""Signals in rare moments, and where signals cannot be waited for. (Takes gcc in part.)"""

import signal
import time

import helpers
import pytest
from helpers import CLIENTS, SERVERS, pairs, replies, run, screen, servers, signals


@signals
@servers
def test_a_signal_just_before_a_call_blocks_ends_the_server(serve, preloaded, script, signum):
    server = serve(script, env=preloaded | {'SIGNAL_BEFORE_SECOND_CALL': str(int(signum))})
    server.answers()
    assert server.process.wait(helpers.PATIENCE) == 0


@pytest.mark.departure('`signal(SIGINT, SIG_DFL)`', 'timed out', script='tsTclnt.py')
@pytest.mark.parametrize('script', [*SERVERS, *CLIENTS])
def test_ctrl_c_ends_a_script_while_it_looks_a_name_up(start, preloaded, script):
    process = start(script, 21567, b'', ['--host', 'silent.invalid'], env=preloaded)
    assert process.stderr.readline() == b'looking up\n'
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=helpers.PATIENCE)[1] == b''
    assert process.returncode == -signal.SIGINT


def burst(send, *pauses: float) -> None:
    """Send SIGINT before each pause (seconds), and in the end SIGTERM."""
    for pause in pauses:
        send(signal.SIGINT)
        time.sleep(pause)  # this is what is tried
    send(signal.SIGTERM)


@pytest.mark.parametrize('pauses', [[0], [0.0001] * 10], ids=['two', 'many'])
@pairs
def test_several_signals_at_once_end_a_script_as_one_does(serve, terminal, script, client, pauses):
    for _ in range(5):
        server = serve(script)
        person = terminal(client, server.port)
        burst(person.kill, *pauses)
        assert (screen(person).rstrip('\n'), person.exitstatus) == ('> ', 0)
        burst(server.process.send_signal, *pauses)
        assert server.process.wait(helpers.PATIENCE) == 0


def test_ctrl_c_in_the_moment_in_which_the_prompt_appears_ends_the_client(terminal, pair):
    for _ in range(10):
        person = terminal(pair.client, pair.server.port, text='>', maxread=1)
        person.kill(signal.SIGINT)
        assert 'Traceback' not in screen(person)
        assert person.exitstatus == 0


@signals
def test_a_signal_ends_the_client_in_a_pipe_while_it_waits(start, played, signum):
    client, port, accept = played
    process = start(client, port, b'anybody there?\n')
    accept().recv(1024)
    process.send_signal(signum)
    assert process.communicate(timeout=helpers.PATIENCE) == (b'', b'')
    assert process.returncode == -signum


@signals
def test_a_signal_ends_the_client_on_a_terminal_while_it_waits(terminal, played, signum):
    client, port, accept = played
    person = terminal(client, port)
    person.sendline('anybody there?')
    accept().recv(1024)
    person.kill(signum)
    assert (screen(person).rstrip('\n'), person.exitstatus) == ('> anybody there?', 0)


NOT_UNIX = """
    import os, signal, sys

    for name in 'fcntl', 'grp', 'pwd', 'readline', 'resource', 'termios', 'tty':
        sys.modules[name] = None
    kept = 'signal SIGABRT SIGFPE SIGILL SIGINT SIGSEGV SIGTERM SIG_DFL SIG_IGN'.split()
    for name in dir(signal):
        if name.startswith(('pthread', 'sig', 'SIG')) and name not in kept:
            delattr(signal, name)
    for name in 'fork', 'getpgrp', 'tcgetpgrp', 'getuid', 'setsid', 'wait', 'uname':
        delattr(os, name)
"""


@pairs
def test_without_what_only_unix_has_all_work(serve, terminal, before_script, script, client):
    environment = before_script(NOT_UNIX)
    server = serve(script, env=environment)
    server.ends = -signal.SIGINT, ''
    assert replies(run(client, server.port, b'hi\n', env=environment)) == b'hi\n'
    person = terminal(client, server.port, env=environment | {'TERM': 'dumb'})
    person.sendline('hi')
    person.expect_exact(']hi\r\n> ')
    person.sendline()
    assert screen(person).endswith(']hi\n> \n')
    assert person.exitstatus == 0
    server.stop(signal.SIGINT)
