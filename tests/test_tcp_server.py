"""What tsTserv.py keeps to, whatever its clients do."""

import os
import re
import resource
import signal
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import helpers
import pytest
from helpers import CAME, STAMP, WAITS, close_with_reset, signals, unstamped, wait_until

WAITING, CONNECTED = WAITS['tsTserv.py'], CAME['tsTserv.py']
FAILED = '...connection failed: '


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Send data on TCP and return the reply once all of the data is back."""
    connection.sendall(data)
    reply = b''
    while unstamped(reply) != data:
        part = connection.recv(65536)
        assert part, 'the server has closed the connection'
        reply += part
    return reply


def send_until_blocked(client: socket.socket) -> int:
    """Send x's, and read no reply, until neither side takes any more; return how many."""
    sent = 0
    client.settimeout(0.2)
    with suppress(TimeoutError):
        while True:
            sent += client.send(b'x' * 65536)
    client.settimeout(helpers.PATIENCE)
    return sent


def test_the_time_is_the_servers_own_at_the_moment_of_the_reply(serve):
    east = os.environ | {'TZ': 'EAST-05:30'}
    with serve('tsTserv.py', env=east).connect() as client:
        for _ in range(2):
            before = int(time.time()) - 1  # the two clocks may differ by a tick
            timestamp = exchange(client, b'what time is it?')[1:25].decode()
            seconds = range(before, int(time.time()) + 1)
            assert timestamp in [time.asctime(time.gmtime(s + 19800)) for s in seconds]
            wait_until(lambda end=seconds.stop: time.time() >= end)


def test_each_bufsiz_bytes_that_come_are_a_message_with_a_stamp_of_its_own(tcp):
    with tcp.connect() as client:
        for size, stamps in (1023, 1), (1024, 1), (3072, 3):
            reply = exchange(client, b'x' * size)
            assert re.fullmatch((STAMP + b'x{1,1024}') * stamps, reply)


@pytest.mark.departure('`sendall()`', 'are lost')
def test_a_reply_that_a_signal_interrupts_comes_back_whole(serve, before_script):
    handler = 'import signal; signal.signal(signal.SIGUSR1, lambda number, frame: None)'
    server = serve('tsTserv.py', env=before_script(handler))
    with server.connect() as client, client.makefile('rb') as file:
        sent = received = 0
        for _ in range(5):
            sent += send_until_blocked(client)  # now the server is in mid-reply
            server.process.send_signal(signal.SIGUSR1)
            received += client.recv(2**20).count(b'x')
        client.shutdown(socket.SHUT_WR)
        received += file.read().count(b'x')
    assert received == sent, f'of {sent} bytes {sent - received} are lost'


@pytest.mark.departure('`TCP_NODELAY`', 'parts have waited for each other')
@pytest.mark.skipif(sys.platform != 'linux', reason='takes Linux')
def test_no_part_of_a_reply_waits_for_the_one_before(tcp):
    with tcp.connect() as client:
        for _ in range(20):
            exchange(client, b'x' * 3 * 1024)
        info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    packets = struct.unpack_from('I', info, 152)[0]  # tcpi_data_segs_in
    assert packets >= 20 * 3, 'parts have waited for each other'


@pytest.mark.departure('`listen(1024)`', 'timed out')
def test_500_clients_at_once_are_all_let_in_and_served(tcp):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 600 or int(Path('/proc/sys/net/core/somaxconn').read_text()) < 500:
        pytest.skip('takes 600 open files and a backlog of 500')
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 600), hard))
    with tcp.connect() as first:
        exchange(first, b'hi')  # so the others queue up
        clients = [tcp.connect() for _ in range(500)]
    for client in clients:
        with client:
            assert unstamped(exchange(client, b'hi')) == b'hi'


@pytest.mark.departure('`SO_REUSEADDR`', 'Address already in use')
def test_it_starts_again_at_once_under_a_connected_client(tcp):
    with tcp.connect() as client:
        exchange(client, b'hi')
        tcp.stop()
        assert client.recv(1024) == b''  # the server has closed first
        assert tcp.start(tcp.port), tcp.errors
        wait_until(tcp.answers)


@pytest.mark.departure('a lost client ends its dialog alone', 'ConnectionResetError')
def test_a_client_that_resets_in_mid_dialog_ends_its_dialog_alone_and_is_logged_at_once(serve):
    server = serve('tsTserv.py', '--threads', '2')
    for number in range(20):
        client = server.connect()
        exchange(client, b'hi')
        if number == 19:
            server.wait_for(WAITING, times=21)  # so no line that follows brings the next one
        close_with_reset(client)
    server.wait_for(f'{FAILED}Connection reset by peer\n', times=20)
    wait_until(server.answers)


def test_clients_that_reset_while_they_wait_or_with_replies_unread_do_no_harm(tcp):
    for close in socket.socket.close, close_with_reset:
        talker = tcp.connect()
        send_until_blocked(talker)
        for _ in range(50):
            close_with_reset(tcp.connect())
        close(talker)
        wait_until(tcp.answers)


@pytest.mark.departure('`SO_KEEPALIVE`', 'waited in vain')
def test_a_vanished_client_does_not_hold_it_for_ever(loopback, serve):
    for name in 'time', 'intvl', 'probes':  # seconds, seconds, times
        Path(f'/proc/sys/net/ipv4/tcp_keepalive_{name}').write_text('1')
    server = serve('tsTserv.py')
    with server.connect() as client:
        exchange(client, b'hi')
        loopback(False)
        server.wait_for(FAILED)
        loopback(True)
        wait_until(server.answers)


@pytest.mark.departure('`--threads N`', 'timed out', n=3)
@pytest.mark.parametrize('n', [1, 3])
def test_with_n_threads_it_serves_n_clients_at_once_and_the_next_one_waits(serve, n):
    server = serve('tsTserv.py', *(('--threads', f'{n}') if n > 1 else ()))
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(n + 1)]
        for client in clients[:n]:
            exchange(client, b'hi')
        clients[n].sendall(b'the next one')
        exchange(clients[0], b'hi')
        tasks = os.listdir(f'/proc/{server.process.pid}/task')
        assert len(tasks) == n + 1  # one waits for a signal
        assert server.log.count(CONNECTED) == n
        clients[n - 1].close()
        assert unstamped(clients[n].recv(1024)) == b'the next one'


SLOW_PRINT = """
    import os, sys, time, types

    def write(text):
        os.write(1, text.encode())
        time.sleep(0.001)

    sys.stdout = types.SimpleNamespace(write=write, flush=lambda: None, isatty=lambda: False)
"""


def test_with_threads_and_lost_clients_no_reply_is_mixed_up_and_no_line_torn(serve, before_script):
    server = serve('tsTserv.py', '--threads', '8', env=before_script(SLOW_PRINT))
    came = []

    def come_and_go(number: int) -> None:
        for _ in range(25):
            client = server.connect()
            came.append(f'{CONNECTED}{client.getsockname()}')
            for count in range(8):
                data = b'message %d of client %d' % (count, number)
                assert unstamped(exchange(client, data)) == data
            close_with_reset(client)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(8)))
    server.wait_for(f'{FAILED}Connection reset by peer\n', times=200)
    server.stop()  # which lets a line be printed to its end
    book = [line for line in server.log.splitlines() if line != f'{FAILED}Connection reset by peer']
    assert set(book[::2]) == {WAITING}  # in the book's order
    assert sorted(book[1::2]) == sorted(came) and server.log.endswith('\n')


@signals
@pytest.mark.parametrize('threads', ['1', '4'])
def test_a_signal_ends_it_whatever_its_clients_do(serve, threads, signum):
    server = serve('tsTserv.py', '--threads', threads)
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(4)]
        send_until_blocked(clients[0])
        for client in clients[1:]:
            client.sendall(b'hi')
        assert server.stop(signum) == 0


def test_with_more_clients_than_open_files_it_logs_little_and_serves_on(serve):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))

    server = serve('tsTserv.py', '--threads', '50', preexec_fn=limit)
    clients = [server.connect() for _ in range(40)]
    server.wait_for(f'{FAILED}Too many open files')
    assert server.log.count(CONNECTED) >= 10
    lines = server.log.count('\n')
    time.sleep(2)  # to count over
    assert server.log.count('\n') - lines <= 20
    for client in clients:  # those let in leave, one by one, and the others get in
        with client:
            assert unstamped(exchange(client, b'hi')) == b'hi'
    wait_until(server.answers)


def test_clients_that_went_while_they_waited_cost_no_pause(serve, failing):
    # So other systems say it, where Linux lets them in and has recv() fail.
    server = serve('tsTserv.py', env=failing('accept', 'ECONNABORTED', times=100))
    with server.connect() as client:
        client.settimeout(helpers.PATIENCE / 2)  # half a second each would be 50 seconds
        assert unstamped(exchange(client, b'hi')) == b'hi'
    assert server.log.count(f'{FAILED}Forced to fail\n') == 100


def test_without_listen_it_ends_in_one_line_that_names_the_reason(serve, edited):
    root = edited('tcpSerSock.listen(', 'print(')
    for options in (), ('--threads', '4'):
        server = serve('tsTserv.py', *options, root=root, ready=lambda server: False)
        server.ends = 1, f'tsTserv.py: any address port {server.port}: Invalid argument\n'
