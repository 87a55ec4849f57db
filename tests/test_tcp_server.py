"""What tsTserv.py keeps to, whatever its clients do."""

import os
import re
import resource
import selectors
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import (
    ANY_BYTES,
    PATIENCE,
    STAMP,
    close_with_reset,
    exchange,
    read_all,
    send_until_blocked,
    unstamped,
    wait_until,
)

WAITING = 'waiting for connection...'
CONNECTED = '...connected from: '


@pytest.fixture
def server(serve):
    return serve('tsTserv.py')


def assert_it_serves(server) -> None:
    """Check that a new client of a server is answered."""
    with server.connect() as client:
        assert unstamped(exchange(client, b'still there?')) == b'still there?'


# The reply


def test_a_message_comes_back_with_the_time_before_it_and_nothing_between(server):
    with server.connect() as client:
        assert re.fullmatch(STAMP + b'hi', exchange(client, b'hi'))


def test_the_time_is_the_servers_own_at_the_moment_of_the_reply(serve):
    east = os.environ | {'TZ': 'EAST-05:30'}
    with serve('tsTserv.py', env=east).connect() as client:
        for _ in range(2):
            before = int(time.time())
            timestamp = exchange(client, b'what time is it?')[1:25].decode()
            after = int(time.time())
            moments = [time.gmtime(s + 19800) for s in range(before, after + 1)]
            assert timestamp in map(time.asctime, moments)
            wait_until(lambda after=after: time.time() >= after + 1)


def test_any_bytes_come_back_untouched(server):
    with server.connect() as client:
        for data in ANY_BYTES:
            assert exchange(client, data)[26:] == data


@pytest.mark.parametrize(('size', 'stamps'), [(1023, 1), (1024, 1), (3072, 3)])
def test_each_bufsiz_bytes_that_come_are_a_message_with_a_stamp_of_its_own(
    server, size, stamps
):
    with server.connect() as client:
        reply = exchange(client, b'x' * size)
    assert re.fullmatch((STAMP + b'x{1,1024}') * stamps, reply)


def test_a_message_longer_than_bufsiz_comes_back_in_order(server):
    data = bytes(range(97, 123)) * 400
    with server.connect() as client:
        assert unstamped(exchange(client, data)) == data


def test_a_client_that_streams_megabytes_and_reads_as_it_writes_gets_every_byte(server):
    data = b'0123456789abcdef' * 2**19
    with server.connect() as client:

        def write() -> None:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        assert unstamped(read_all(client)) == data
        writer.join()


def test_a_client_that_closes_its_sending_half_gets_its_replies_then_end_of_file(
    server,
):
    with server.connect() as client:
        client.sendall(b'the last words')
        client.shutdown(socket.SHUT_WR)
        assert unstamped(read_all(client)) == b'the last words'
    assert_it_serves(server)


# One client after another


def test_by_default_it_serves_one_client_at_a_time_and_the_next_one_waits(server):
    with server.connect() as first, server.connect() as second:
        exchange(first, b'1')
        second.sendall(b'2')
        exchange(first, b'3')
        assert server.log.count(CONNECTED) == 1
        first.close()
        assert unstamped(second.recv(1024)) == b'2'
    server.wait_for(CONNECTED, times=2)


def test_it_logs_each_client_as_the_book_does(server):
    with server.connect() as client:
        exchange(client, b'hi')
        host, port = client.getsockname()
    server.wait_for(WAITING, times=2)
    assert server.log == f"{WAITING}\n{CONNECTED}('{host}', {port})\n{WAITING}\n"


def allow_open_files(count: int) -> None:
    """Raise the soft limit of open files to count at least, or skip the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < count:
        pytest.skip(f'no more than {hard} open files are allowed')
    if 0 <= soft < count:  # RLIM_INFINITY is -1
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def test_500_clients_that_connect_at_once_are_all_let_in_and_served(server):
    allow_open_files(600)
    with server.connect() as talker, selectors.DefaultSelector() as selector:
        exchange(talker, b'hi')  # so the others have to wait in the queue
        clients = [socket.socket() for _ in range(500)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(('127.0.0.1', server.port))
            selector.register(client, selectors.EVENT_WRITE)
        connected = set()
        deadline = time.monotonic() + PATIENCE
        while len(connected) < 500 and time.monotonic() < deadline:
            for key, _ in selector.select(timeout=1):
                selector.unregister(key.fileobj)
                connected.add(key.fileobj)
        assert len(connected) == 500
    for client in clients:
        client.settimeout(PATIENCE)
        with client:
            assert unstamped(exchange(client, b'hi')) == b'hi'


# Clients that go in other ways than by quitting


def test_a_client_that_resets_while_it_waits_to_be_accepted_does_no_harm(server):
    with server.connect() as talker:
        exchange(talker, b'hi')
        for _ in range(100):
            close_with_reset(server.connect())
    assert_it_serves(server)


def test_a_client_that_resets_in_mid_dialog_does_no_harm(server):
    for _ in range(20):
        client = server.connect()
        exchange(client, b'hi')
        close_with_reset(client)
    server.wait_for('...connection failed: Connection reset by peer', times=20)
    assert_it_serves(server)


def test_a_client_that_resets_while_a_reply_is_on_its_way_does_no_harm(server):
    for _ in range(100):
        client = server.connect()
        client.sendall(b'x' * 1000)
        close_with_reset(client)
    assert_it_serves(server)


@pytest.mark.parametrize('close', [socket.socket.close, close_with_reset])
def test_a_client_that_goes_with_megabytes_of_replies_unread_does_no_harm(
    server, close
):
    client = server.connect()
    send_until_blocked(client)
    close(client)
    assert_it_serves(server)


def test_a_client_whose_machine_has_vanished_does_not_hold_it_for_ever(loopback, serve):
    for name, value in ('time', '1'), ('intvl', '1'), ('probes', '2'):
        Path(f'/proc/sys/net/ipv4/tcp_keepalive_{name}').write_text(value)
    server = serve('tsTserv.py')
    with server.connect() as client:
        exchange(client, b'hi')
        loopback(False)
        server.wait_for('...connection failed: ')
        loopback(True)
        assert_it_serves(server)


# Threads


def test_with_n_threads_n_minus_1_idle_clients_do_not_hold_up_another(serve):
    server = serve('tsTserv.py', '--threads', '3')
    with server.connect(), server.connect():
        server.wait_for(CONNECTED, times=2)
        assert_it_serves(server)
        assert_it_serves(server)


def test_no_number_of_clients_starts_more_threads_than_asked_for(serve):
    server = serve('tsTserv.py', '--threads', '3')
    clients = [server.connect() for _ in range(10)]
    server.wait_for(CONNECTED, times=3)
    # and one that waits for a signal
    assert len(os.listdir(f'/proc/{server.process.pid}/task')) == 3 + 1
    assert server.log.count(CONNECTED) == 3
    for client in clients:
        exchange(client, b'hi')
        client.close()


def test_n_busy_clients_lose_and_mix_up_nothing(serve):
    server = serve('tsTserv.py', '--threads', '8')

    def dialog(number: int) -> None:
        with server.connect() as client:
            for count in range(300):
                data = b'message %d of client %d' % (count, number)
                assert unstamped(exchange(client, data)) == data

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(dialog, range(8)))


def test_every_line_of_the_log_is_whole_however_many_threads_write_it(serve):
    server = serve('tsTserv.py', '--threads', '8')

    def come_and_go(_: int) -> None:
        for _ in range(100):
            server.connect().close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(8)))
    server.wait_for(WAITING, times=808)
    line = rf"{re.escape(WAITING)}|{re.escape(CONNECTED)}\('127\.0\.0\.1', \d+\)"
    odd = [text for text in server.log.splitlines() if not re.fullmatch(line, text)]
    assert set(odd) <= {'...connection failed: Connection reset by peer'}
    assert server.log.count(CONNECTED) == 800


def test_with_more_clients_than_open_files_it_logs_little_and_serves_on(serve):
    server = serve(
        'tsTserv.py',
        *('--threads', '50'),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)),
    )
    server.wait_for(WAITING, times=50)
    clients = [server.connect() for _ in range(40)]
    server.wait_for('...connection failed: Too many open files')
    assert server.log.count(CONNECTED) >= 10
    lines = server.log.count('\n')
    time.sleep(3)  # to count over
    assert server.log.count('\n') - lines <= 30
    for client in clients:  # those let in leave, one by one, and the others get in
        assert unstamped(exchange(client, b'hi')) == b'hi'
        client.close()
    assert_it_serves(server)


# The end


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('threads', ['1', '4'])
def test_ctrl_c_and_sigterm_end_it_at_once_whatever_its_clients_do(
    serve, threads, signum
):
    server = serve('tsTserv.py', '--threads', threads)
    clients = [server.connect() for _ in range(4)]
    send_until_blocked(clients[0])
    for client in clients[1:]:
        client.sendall(b'hi')
    assert server.stop(signum) == 0
    for client in clients:
        client.close()


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('threads', ['1', '4'])
def test_it_starts_again_on_the_same_port_at_once(serve, threads, signum):
    server = serve('tsTserv.py', '--threads', threads)
    with server.connect() as client:
        exchange(client, b'hi')
        assert server.stop(signum) == 0
        assert client.recv(1024) == b''  # the server has closed first
        assert server.restart()
        assert_it_serves(server)
