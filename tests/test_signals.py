"""Signals in rare moments, and where signals cannot be waited for. (Takes gcc in part.)"""

import signal
import subprocess
import time

import helpers
import pytest
from helpers import (
    CLIENTS,
    PATIENCE,
    SERVERS,
    Server,
    command,
    pairs,
    prompted,
    run,
    screen,
    signals,
    start_client,
    terminal,
)


@signals
@pairs
def test_a_signal_in_the_instant_before_a_call_blocks_ends_the_server(
    tmp_path, preloaded, script, client, signum
):
    environment = preloaded | {'SIGNAL_BEFORE_SECOND_CALL': str(int(signum))}
    server = Server(tmp_path, script, env=environment)
    run(client, server.port, b'hi\n')
    assert server.process.wait(PATIENCE) == 0
    assert server.errors == ''


@pytest.mark.parametrize('script', [*SERVERS, *CLIENTS])
def test_ctrl_c_ends_a_script_while_it_looks_a_name_up(preloaded, root, script):
    words = command(script, 21567, '--host', 'silent.invalid', root=root)
    with subprocess.Popen(words, env=preloaded, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr.readline() == b'looking up\n'
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=helpers.PATIENCE)[1] == b''
            assert process.returncode == -signal.SIGINT
        finally:
            process.kill()


def both(send) -> None:
    """Send SIGINT and SIGTERM together."""
    send(signal.SIGINT)
    send(signal.SIGTERM)


def many(send) -> None:
    """Send SIGINT ten times in a millisecond."""
    for _ in range(10):
        send(signal.SIGINT)
        time.sleep(0.0001)  # this is what is tried


@pytest.mark.parametrize('burst', [both, many])
@pairs
def test_several_signals_at_once_end_a_script_as_one_does(tmp_path, script, client, burst):
    for _ in range(5):
        server = Server(tmp_path, script)
        person = prompted(client, server.port)
        burst(person.kill)
        assert screen(person).rstrip('\n') == '> '
        assert person.exitstatus == 0
        burst(server.process.send_signal)
        assert server.process.wait(PATIENCE) == 0
        assert server.errors == ''


def test_ctrl_c_in_the_moment_in_which_the_prompt_appears_ends_the_client(pair):
    for _ in range(10):
        person = terminal(pair.client, pair.server.port, maxread=1)
        person.expect_exact('>')
        person.kill(signal.SIGINT)
        assert 'Traceback' not in screen(person)
        assert person.exitstatus == 0


@pytest.fixture(params=CLIENTS)
def silent(request, listener, udp_peer):
    """Be a server that never answers: gives a client, the port, and how to receive."""
    if request.param == 'tsUclnt.py':
        yield request.param, udp_peer.getsockname()[1], lambda: udp_peer.recv(1024)
        return
    connections = []

    def receive() -> None:
        connections.append(listener.accept()[0])
        connections[0].settimeout(PATIENCE)
        connections[0].recv(1024)

    yield request.param, listener.getsockname()[1], receive
    for connection in connections:
        connection.close()


@signals
def test_a_signal_ends_the_client_in_a_pipe_without_a_word_while_it_waits(silent, signum):
    script, port, receive = silent
    with start_client(script, port) as process:
        process.stdin.write(b'anybody there?\n')
        receive()
        process.send_signal(signum)
        assert process.communicate(timeout=PATIENCE) == (b'', b'')
    assert process.returncode == -signum


@signals
def test_a_signal_ends_the_client_on_a_terminal_while_it_waits_for_a_reply(silent, signum):
    script, port, receive = silent
    person = prompted(script, port)
    person.sendline('anybody there?')
    receive()
    person.kill(signum)
    assert screen(person).rstrip('\n') == '> anybody there?'
    assert person.exitstatus == 0


NOT_UNIX = """
    import os, signal, socket, sys

    for name in 'fcntl', 'grp', 'pwd', 'readline', 'resource', 'termios', 'tty':
        sys.modules[name] = None
    for name in dir(signal):
        if name.startswith(('pthread', 'sig', 'SIG')) and name not in (
            'signal', 'SIGABRT', 'SIGFPE', 'SIGILL', 'SIGINT', 'SIGSEGV', 'SIGTERM',
            'SIG_DFL', 'SIG_IGN',
        ):
            delattr(signal, name)
    for name in 'AF_UNIX', 'socketpair', 'send_fds', 'recv_fds':
        if hasattr(socket, name):
            delattr(socket, name)
    socket.__all__ = [name for name in socket.__all__ if hasattr(socket, name)]
    for name in 'fork', 'getpgrp', 'tcgetpgrp', 'getuid', 'setsid', 'wait', 'uname':
        delattr(os, name)
"""


@pairs
def test_without_the_parts_of_python_that_only_unix_has_all_work_and_quit(
    tmp_path, before_script, script, client
):
    environment = before_script(NOT_UNIX)
    server = Server(tmp_path, script, env=environment)
    result = run(client, server.port, b'hi\n', env=environment)
    assert result.stdout.endswith(b']hi\n')
    assert (result.stderr, result.returncode) == (b'', 0)
    person = prompted(client, server.port, env=environment | {'TERM': 'dumb'})
    person.sendline('hi')
    person.expect_exact(']hi\r\n> ')
    person.sendline()
    assert screen(person).endswith(']hi\n> \n')
    assert person.exitstatus == 0
    assert server.stop(signal.SIGINT) == -signal.SIGINT
    assert server.errors == ''
