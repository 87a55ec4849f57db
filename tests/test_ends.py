"""How the scripts end: on a signal wherever it lands, and what each error does."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator

import pexpect
import pytest
from helpers import (
    CLIENTS,
    PAIRS,
    PATIENCE,
    ROOT,
    SERVERS,
    STAMP,
    Server,
    command,
    run,
    screen,
    start_client,
    terminal,
    udp_socket,
    unstamped,
    wait_until,
)

SIGNALS = [signal.SIGINT, signal.SIGTERM]
signals = pytest.mark.parametrize('signum', SIGNALS, ids=['SIGINT', 'SIGTERM'])
servers = pytest.mark.parametrize('script', SERVERS)
clients = pytest.mark.parametrize('script', CLIENTS)
scripts = pytest.mark.parametrize('script', SERVERS + CLIENTS)

# Signals that land in the wrong moment, and names that nobody answers for

PRELOADED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* In the last moment before the second call blocks, send the process a signal. */
static void before_it_blocks(void)
{
    static int calls;
    const char *signum = getenv("SIGNAL_BEFORE_SECOND_CALL");
    if (signum && ++calls == 2)
        kill(getpid(), atoi(signum));
}

int accept4(int fd, struct sockaddr *addr, socklen_t *length, int flags)
{
    int (*real)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
    before_it_blocks();
    return real(fd, addr, length, flags);
}

ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *addr,
                 socklen_t *length)
{
    ssize_t (*real)(int, void *, size_t, int, struct sockaddr *, socklen_t *) =
        dlsym(RTLD_NEXT, "recvfrom");
    before_it_blocks();
    return real(fd, data, size, flags, addr, length);
}

/* A name server that keeps silent. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *,
                struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    while (host && !strcmp(host, "silent.invalid")) {
        write(2, "looking up\n", 11);
        pause();
    }
    return real(host, port, hints, found);
}
"""


@pytest.fixture(scope='session')
def preloaded(tmp_path_factory) -> dict[str, str]:
    """The environment in which the library above stands before the C library."""
    compiler = shutil.which('gcc') or pytest.skip('gcc is not installed')
    folder = tmp_path_factory.mktemp('preloaded')
    (folder / 'preloaded.c').write_text(PRELOADED)
    words = [compiler, '-w', '-shared', '-fPIC', 'preloaded.c', '-o', 'preloaded.so']
    subprocess.run([*words, '-ldl'], cwd=folder, check=True, timeout=PATIENCE)
    return os.environ | {'LD_PRELOAD': str(folder / 'preloaded.so')}


@signals
@pytest.mark.parametrize(('script', 'client'), PAIRS)
def test_a_signal_in_the_instant_before_a_call_blocks_ends_the_server(
    tmp_path, preloaded, script, client, signum
):
    environment = preloaded | {'SIGNAL_BEFORE_SECOND_CALL': str(int(signum))}
    server = Server(tmp_path, script, env=environment)
    run(client, server.port, b'hi\n')
    assert server.process.wait(PATIENCE) == 0
    assert server.errors == ''


@signals
@scripts
def test_a_signal_ends_a_script_at_once_while_it_looks_a_name_up(
    preloaded, script, signum
):
    words = command(script, 21567, '--host', 'silent.invalid')
    with subprocess.Popen(words, env=preloaded, stderr=subprocess.PIPE) as process:
        assert process.stderr.readline() == b'looking up\n'
        process.send_signal(signum)
        assert process.wait(PATIENCE) == -signum
        assert process.stderr.read() == b''


@scripts
def test_ctrl_c_ends_a_script_without_a_traceback_while_it_still_imports(
    before_script, script
):
    environment = before_script(
        """
        import os, signal, sys

        class InterruptedImport:
            def find_spec(name, path=None, target=None):
                if name == 'argparse':
                    os.kill(os.getpid(), signal.SIGINT)

        sys.meta_path.insert(0, InterruptedImport)
        """
    )
    words = command(script, 21567)
    result = subprocess.run(
        words, env=environment, capture_output=True, timeout=PATIENCE
    )
    assert (result.returncode, result.stderr) == (-signal.SIGINT, b'')


def both(process: subprocess.Popen) -> None:
    """Send SIGINT and SIGTERM together."""
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)


def many(process: subprocess.Popen) -> None:
    """Send SIGINT ten times in a millisecond."""
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        time.sleep(0.0001)  # this is what is tried


@pytest.mark.parametrize('send', [both, many])
@servers
def test_several_signals_at_once_end_the_server_as_one_does(tmp_path, script, send):
    for _ in range(10):
        server = Server(tmp_path, script)
        send(server.process)
        assert server.process.wait(PATIENCE) == 0
        assert server.errors == ''


@pytest.mark.parametrize('send', [both, many])
def test_several_signals_at_once_end_the_client_at_its_prompt_as_one_does(pair, send):
    for _ in range(5):
        client = terminal(pair.client, pair.server.port)
        client.expect_exact('> ')
        client.send_signal = client.kill
        send(client)
        assert screen(client) == '> \n'
        assert client.exitstatus == 0


@signals
@clients
def test_a_signal_ends_the_client_in_a_pipe_without_a_word_while_it_waits(
    deaf_server, script, signum
):
    port, received = deaf_server(script)
    with start_client(script, port) as process:
        process.stdin.write(b'anybody there?\n')
        received()
        process.send_signal(signum)
        assert process.communicate(timeout=PATIENCE) == (b'', b'')
    assert process.returncode == -signum


@signals
@clients
def test_a_signal_ends_the_client_on_a_terminal_while_it_waits_for_a_reply(
    deaf_server, script, signum
):
    port, received = deaf_server(script)
    client = terminal(script, port)
    client.expect_exact('> ')
    client.sendline('anybody there?')
    received()
    client.kill(signum)
    assert screen(client) == '> anybody there?\n\n'
    assert client.exitstatus == 0


def test_sigterm_ends_a_client_that_waits_in_the_background_and_does_not_stop_it(
    deaf_server,
):
    port, received = deaf_server('tsTclnt.py')
    environment = os.environ | {'PS1': 'ready$ ', 'TERM': 'dumb'}
    shell = pexpect.spawn('/bin/sh', ['-i'], timeout=PATIENCE, env=environment)
    shell.expect_exact('ready$ ')
    shell.sendline(shlex.join(command('tsTclnt.py', port)))
    shell.expect_exact('\n> ')
    shell.sendline('anybody there?')
    received()
    shell.send('\x1a')  # Ctrl-Z
    shell.expect_exact('ready$ ')
    shell.sendline('bg')
    shell.expect_exact('ready$ ')
    shell.sendline('kill -TERM %1; wait %1; echo "status $?"')
    shell.expect(r'\nstatus (\d+)')
    assert shell.match[1] == b'0'
    shell.close(force=True)


@pytest.fixture
def deaf_server() -> Iterator[Callable]:
    """Be a server that never answers: gives its port and a function that receives."""
    sockets = []

    def start(script: str) -> tuple[int, Callable[[], object]]:
        if script == 'tsUclnt.py':
            sockets.append(udp_socket())
            return sockets[0].getsockname()[1], lambda: sockets[0].recv(65535)
        sockets.append(socket.create_server(('127.0.0.1', 0)))
        sockets[0].settimeout(PATIENCE)

        def receive() -> None:
            connection, _ = sockets[0].accept()
            sockets.append(connection)
            connection.settimeout(PATIENCE)
            connection.recv(1024)

        return sockets[0].getsockname()[1], receive

    yield start
    for each in sockets:
        each.close()


# What is on the screen and in the log then


def test_no_false_line_ends_the_log_while_clients_come_and_go(tmp_path):
    for _ in range(10):
        server = Server(tmp_path, 'tsTserv.py', '--threads', '8')
        ended = threading.Event()

        def come_and_go(server=server, ended=ended) -> None:
            while not ended.is_set():
                try:
                    server.connect().close()
                except OSError:
                    return  # the server has ended

        churn = [threading.Thread(target=come_and_go) for _ in range(4)]
        for thread in churn:
            thread.start()
        server.wait_for('...connected from: ', times=100)
        status = server.stop(signal.SIGINT)
        ended.set()
        for thread in churn:
            thread.join(PATIENCE)
        assert status == 0
        assert_only_lines_of_the_book(server.log)


def test_no_false_line_ends_the_log_while_datagrams_come(tmp_path):
    for _ in range(10):
        server = Server(tmp_path, 'tsUserv.py')
        with udp_socket() as client:
            for _ in range(1000):
                client.sendto(b'hi', ('127.0.0.1', server.port))
            server.wait_for('...received from and returned to: ', times=100)
            assert server.stop(signal.SIGINT) == 0
        assert_only_lines_of_the_book(server.log)


def assert_only_lines_of_the_book(log: str) -> None:
    """Check that a log has no other lines than the two that the book shows."""
    addr = r"\('127\.0\.0\.1', \d+\)"
    tcp = rf'waiting for connection\.\.\.|\.\.\.connected from: {addr}'
    udp = rf'waiting for message\.\.\.|\.\.\.received from and returned to: {addr}'
    assert re.fullmatch(rf'(({tcp}|{udp})\n)*', log)


KEYS = {'Enter': '\r', 'Ctrl-D': '\x04', 'Ctrl-C': '\x03', 'SIGTERM': None}


@pytest.mark.parametrize('key', KEYS)
def test_the_client_leaves_the_terminal_echoing_and_editing(pair, key):
    client = terminal(pair.client, pair.server.port)
    client.expect_exact('> ')
    device = os.readlink(f'/proc/{client.pid}/fd/0')
    kept_open = os.open(device, os.O_RDWR | os.O_NOCTTY)

    def echoes_and_edits() -> bool:
        mode = termios.tcgetattr(kept_open)[3]
        return bool(mode & termios.ECHO and mode & termios.ICANON)

    assert not echoes_and_edits()  # readline does that while it waits
    if KEYS[key]:
        client.send(KEYS[key])
    else:
        client.kill(signal.SIGTERM)
    wait_until(lambda: not client.isalive())
    assert echoes_and_edits()
    os.close(kept_open)


@pytest.mark.parametrize('key', KEYS)
def test_the_next_prompt_has_a_line_of_its_own_also_when_replies_go_to_a_file(
    pair, key, tmp_path
):
    words = command(pair.client, pair.server.port)
    shell = ['-c', f'exec "$@" > {tmp_path}/replies', 'sh', *words]
    client = pexpect.spawn('/bin/sh', shell, timeout=PATIENCE)
    client.expect_exact('> ')
    client.sendline('hi')
    client.expect_exact('> ')
    if KEYS[key]:
        client.send(KEYS[key])
    else:
        client.kill(signal.SIGTERM)
    client.expect(pexpect.EOF)
    assert re.fullmatch(rb'(\^C|\^D\x08\x08)?\r\n', client.before)
    assert re.fullmatch(STAMP + rb'hi\n', (tmp_path / 'replies').read_bytes())


# Errors that cost one datagram, and mistakes that keep their traceback


FIRST_RECVFROM_FAILS = """
        import errno, os, socket

        class Socket(socket.socket):
            calls = 0

            def recvfrom(self, size):
                Socket.calls += 1
                if Socket.calls == 1:
                    super().recvfrom(size)
                    raise ConnectionResetError(errno.ECONNRESET, 'Forced to fail')
                return super().recvfrom(size)

        socket.socket = Socket
"""


def test_a_recvfrom_that_fails_costs_the_server_one_datagram(serve, before_script):
    server = serve('tsUserv.py', env=before_script(FIRST_RECVFROM_FAILS))
    result = run('tsUclnt.py', server.port, b'one\ntwo\n')
    assert unstamped(result.stdout) == b'two\n'
    server.wait_for('...not received: Forced to fail\nwaiting for message...\n')


def test_a_recvfrom_that_fails_costs_the_client_one_line(serve, before_script):
    port = serve('tsUserv.py').port
    environment = before_script(FIRST_RECVFROM_FAILS)
    result = run('tsUclnt.py', port, b'one\ntwo\n', env=environment)
    assert unstamped(result.stdout) == b'two\n'
    assert result.stderr == b'tsUclnt.py: localhost port %d: Forced to fail\n' % port
    assert result.returncode == 1


def test_a_recvfrom_that_fails_for_good_does_not_fill_the_log(serve, before_script):
    always = FIRST_RECVFROM_FAILS.replace('calls == 1', 'calls')
    always = always.replace('super().recvfrom(size)', 'pass', 1)
    server = serve('tsUserv.py', env=before_script(always))
    server.wait_for('...not received: Forced to fail\n')
    lines = server.log.count('\n')
    time.sleep(2)  # to count over
    assert server.log.count('\n') - lines <= 50


SECOND_SENDTO_FAILS = """
        import errno, os, socket

        class Socket(socket.socket):
            calls = 0

            def sendto(self, data, addr):
                Socket.calls += 1
                if Socket.calls == 2:
                    raise OSError(errno.ENETUNREACH, 'Forced to fail')
                return super().sendto(data, addr)

        socket.socket = Socket
"""


def test_a_sendto_that_fails_costs_the_client_one_line(serve, before_script):
    port = serve('tsUserv.py').port
    environment = before_script(SECOND_SENDTO_FAILS)
    result = run('tsUclnt.py', port, b'one\ntwo\nthree\n', env=environment)
    assert unstamped(result.stdout) == b'one\nthree\n'
    assert result.stderr == b'tsUclnt.py: localhost port %d: Forced to fail\n' % port
    assert result.returncode == 1


TYPING_ERRORS = [
    ('tsTserv.py', 'stamped(data)', 'stamped(dat)', 'NameError'),
    ('tsTclnt.py', 'sendall(data', 'sendall(dat', 'NameError'),
    (
        'tsTclnt.py',
        'sendall(data',
        "sendall(data.decode('ascii')",
        'UnicodeDecodeError',
    ),
    ('tsUserv.py', 'stamped(data)', 'stamped(dat)', 'NameError'),
    ('tsUclnt.py', 'sendto(data', 'sendto(dat', 'NameError'),
    ('tsUclnt.py', 'sendto(data', "sendto(data.decode('ascii')", 'UnicodeDecodeError'),
]


@pytest.mark.parametrize(('script', 'right', 'wrong', 'error'), TYPING_ERRORS)
def test_a_mistake_in_the_code_keeps_its_traceback(
    tmp_path, serve, script, right, wrong, error
):
    for path in ROOT.glob('*.py'):
        text = path.read_text()
        if path.name == script:
            assert right in text
            text = text.replace(right, wrong)
        (tmp_path / path.name).write_text(text)
    if script in SERVERS:
        client = CLIENTS[SERVERS.index(script)]
        server = Server(tmp_path, script, root=tmp_path)
        run(client, server.port, 'é\n'.encode())
        status, errors = server.process.wait(PATIENCE), server.errors
    else:
        port = serve(SERVERS[CLIENTS.index(script)]).port
        result = run(script, port, 'é\n'.encode(), root=tmp_path)
        status, errors = result.returncode, result.stderr.decode()
    assert status == 1
    assert errors.startswith('Traceback (most recent call last):\n')
    assert re.search(rf'File ".*/{script}", line \d+', errors)
    assert f'\n{error}: ' in errors


# Systems that lack what Unix has

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


@pytest.mark.parametrize(('script', 'client'), PAIRS)
def test_without_the_parts_of_python_that_only_unix_has_all_work_and_quit(
    tmp_path, before_script, script, client
):
    environment = before_script(NOT_UNIX)
    server = Server(tmp_path, script, env=environment)
    result = run(client, server.port, b'hi\n', env=environment)
    assert unstamped(result.stdout) == b'hi\n'
    assert (result.stderr, result.returncode) == (b'', 0)
    person = terminal(client, server.port, env=environment | {'TERM': 'dumb'})
    person.expect_exact('> ')
    person.sendline('hi')
    person.expect_exact('> ')
    person.sendline()
    assert unstamped(screen(person).encode()) == b'> hi\nhi\n> \n'
    assert person.exitstatus == 0
    assert server.stop(signal.SIGINT) == -signal.SIGINT
    assert server.errors == ''
