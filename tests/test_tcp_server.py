"""What tsTserv.py keeps to, whatever its clients do."""

import re
import resource
import signal
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import helpers
import pytest
from helpers import (
    CAME,
    STAMP,
    WAITS,
    departure,
    exchange,
    failing,
    reset,
    unstamped,
    wait_for_sleep,
    wait_until,
)


def send_until_blocked(client: socket.socket) -> int:
    """Send x's, and read no reply, until neither side takes any more; return how many."""
    sent = 0
    client.settimeout(0.2)
    try:
        while True:
            sent += client.send(b'x' * 65536)
    except TimeoutError:
        client.settimeout(helpers.PATIENCE)
        return sent


def test_bufsiz_bytes_are_a_message(tcp_server):
    """What one recv(BUFSIZ) returns is one message, with one stamp."""
    with tcp_server.connect() as client:
        assert re.fullmatch(STAMP + b'x{1023}', exchange(client, b'x' * 1023))
        assert re.fullmatch(STAMP + b'x{1024}', exchange(client, b'x' * 1024))
        assert re.fullmatch((STAMP + b'x{1,1024}') * 3, exchange(client, b'x' * 3072))


@departure('`sendall()`', seen='are lost')
def test_interrupted_reply_is_whole(serve, before_script):
    handler = 'import signal; signal.signal(signal.SIGUSR1, lambda number, frame: None)'
    server = serve('tsTserv.py', env=before_script(handler))

    with server.connect() as client:
        sent = 0
        received = 0
        for _ in range(5):
            sent += send_until_blocked(client)  # now the server is in mid-reply
            server.process.send_signal(signal.SIGUSR1)
            received += client.recv(2**20).count(b'x')
        client.shutdown(socket.SHUT_WR)
        with client.makefile('rb') as rest:
            received += rest.read().count(b'x')

    assert received == sent, f'of {sent} bytes {sent - received} are lost'


@pytest.mark.skipif(sys.platform != 'linux', reason='takes Linux')
@departure('`TCP_NODELAY`', seen='parts have waited')
def test_parts_of_a_reply_do_not_wait(tcp_server):
    with tcp_server.connect() as client:
        for _ in range(20):
            exchange(client, b'x' * 3072)  # three parts
        info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)

    (packets,) = struct.unpack_from('I', info, 152)  # tcpi_data_segs_in
    assert packets >= 20 * 3, 'parts have waited for each other'


@departure('`listen(1024)`', seen='timed out')
def test_500_clients_at_once(tcp_server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    backlog = Path('/proc/sys/net/core/somaxconn')
    if 0 <= hard < 600 or not backlog.exists() or int(backlog.read_text()) < 500:
        pytest.skip('takes Linux, 600 open files and a backlog of 500')
    if 0 <= soft < 600:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))

    with tcp_server.connect() as first:
        exchange(first, b'hi')  # so the others wait to be accepted
        clients = [tcp_server.connect() for _ in range(500)]

    for client in clients:
        with client:
            assert unstamped(exchange(client, b'hi')) == b'hi'


@departure('`SO_REUSEADDR`', seen='Address already in use')
def test_starts_again_under_a_client(tcp_server):
    with tcp_server.connect() as client:
        exchange(client, b'hi')
        tcp_server.stop(signal.SIGINT)  # so the server has closed first
        assert client.recv(1024) == b''

        tcp_server.start()

        assert tcp_server.errors == ''


@departure('only the dialog ends with a lost client', seen='ConnectionResetError')
def test_reset_in_mid_dialog(tcp_server):
    client = tcp_server.connect()
    exchange(client, b'hi')

    reset(client)

    assert unstamped(tcp_server.ask(b'still there?')) == b'still there?'


def test_resets_while_waiting_or_unread(tcp_server):
    talker = tcp_server.connect()
    send_until_blocked(talker)
    for _ in range(50):
        reset(tcp_server.connect())

    reset(talker)

    wait_until(tcp_server.answers)


@pytest.mark.skipif(sys.platform != 'linux', reason='takes Linux')
@departure('`SO_KEEPALIVE`', seen='waited in vain')
def test_keepalive(tcp_server):
    """While a client is silent, the system asks from time to time whether it is still there."""

    def timer() -> str:
        """Return the timer of the server's socket for the client: proc_net_tcp(5)."""
        ports = tcp_server.port, client.getsockname()[1]
        for line in Path('/proc/net/tcp').read_text().splitlines()[1:]:
            _, local, remote, _, _, active, *_ = line.split()
            if (int(local[-4:], 16), int(remote[-4:], 16)) == ports:
                return active
        return 'no such connection'

    with tcp_server.connect() as client:
        exchange(client, b'hi')

        wait_until(lambda: timer().startswith('02'))


def test_one_client_after_another(tcp_server):
    with tcp_server.connect() as first, tcp_server.connect() as second:
        exchange(first, b'hi')
        second.sendall(b'anybody there?')
        exchange(first, b'hi again')
        assert tcp_server.log.count(CAME['tsTserv.py']) == 1

        first.close()

        assert unstamped(second.recv(1024)) == b'anybody there?'


@departure('`--threads`', seen='timed out')
def test_threads_serve_clients_at_once(serve):
    server = serve('tsTserv.py', '--threads')

    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(5)]
        for client in reversed(clients):
            assert unstamped(exchange(client, b'hi')) == b'hi'


def test_threads_mix_nothing_up(serve):
    """The log is the book's, also with many clients that are lost at any moment."""
    server = serve('tsTserv.py', '--threads')

    came = []

    def come_and_go(number: int) -> None:
        for _ in range(10):
            client = server.connect()
            came.append(f'{CAME["tsTserv.py"]} {client.getsockname()}')
            for count in range(10):
                data = b'message %d of client %d' % (count, number)
                assert unstamped(exchange(client, data)) == data
            reset(client)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(8)))  # and raise what was raised there

    lines = server.log.splitlines()
    assert set(lines[::2]) == {WAITS['tsTserv.py']}
    assert sorted(lines[1::2]) == sorted(came)


@pytest.mark.parametrize('options', [[], ['--threads']])
def test_ctrl_c_in_mid_dialog(serve, options):
    server = serve('tsTserv.py', *options)
    with server.connect() as talker, server.connect() as idle:
        exchange(talker, b'hi')
        if options:
            exchange(idle, b'hi')
        send_until_blocked(talker)

        assert server.stop(signal.SIGINT) == 0
        assert server.errors == ''


def test_ctrl_c_while_clients_are_lost(serve):
    """Threads that end while Python ends are no harm."""
    for _ in range(3):
        server = serve('tsTserv.py', '--threads')
        clients = [server.connect() for _ in range(20)]
        for client in clients:
            exchange(client, b'hi')

        wait_for_sleep(server.process.pid)
        server.process.send_signal(signal.SIGINT)
        for client in clients:
            reset(client)

        assert server.process.wait(helpers.PATIENCE) == 0
        assert server.errors == ''


def test_more_clients_than_open_files(serve):
    """Those for whom there is no room wait; the log stays short."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))

    server = serve('tsTserv.py', '--threads', preexec_fn=limit)
    clients = [server.connect() for _ in range(30)]
    server.wait_for('...connection failed: Too many open files\n')

    begin = time.monotonic()
    lines = server.errors.count('\n')
    time.sleep(1)  # to count over
    assert server.errors.count('\n') - lines <= 5 * (time.monotonic() - begin)

    for client in clients:  # each makes room for another
        with client:
            assert unstamped(exchange(client, b'hi')) == b'hi'


NO_MORE_THREADS = """
import threading

real_start, started = threading.Thread.start, []

def start(thread):
    if len(started) == 1:
        started.append('one that fails')
        raise RuntimeError("can't start new thread")
    started.append('one that runs')
    real_start(thread)

threading.Thread.start = start
"""


def test_thread_that_cannot_start(serve, before_script):
    """It costs that client, not the server."""
    server = serve('tsTserv.py', '--threads', env=before_script(NO_MORE_THREADS))

    with server.connect() as first, server.connect() as second:
        assert unstamped(exchange(first, b'hi')) == b'hi'
        assert second.recv(1024) == b''
        assert unstamped(exchange(first, b'hi again')) == b'hi again'
        assert f"...no thread for: {second.getsockname()} can't start new thread\n" in server.errors

    assert unstamped(server.ask(b'still there?')) == b'still there?'


def test_accept_that_fails(serve, before_script):
    server = serve('tsTserv.py', env=before_script(failing('accept', 1, 1)))

    assert unstamped(server.ask(b'hi')) == b'hi'
    assert server.errors == '...connection failed: Forced to fail\n'


def test_option_of_a_client_that_fails(serve, before_script):
    """So macOS says that a client has reset its connection while it waited."""
    server = serve('tsTserv.py', env=before_script(failing('setsockopt', 2, 2)))

    with server.connect() as lost:
        assert lost.recv(1024) == b''

    assert unstamped(server.ask(b'still there?')) == b'still there?'
    assert server.errors == ''
