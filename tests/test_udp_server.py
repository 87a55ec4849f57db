"""What tsUserv.py keeps to, whatever datagrams come."""

import re
import socket
import struct
import time

import pytest
from helpers import ANY_BYTES, PATIENCE, STAMP, udp_socket, unstamped, wait_until

WAITING = 'waiting for message...'
RETURNED = '...received from and returned to: '
NOT_RETURNED = '...received from and not returned to: '


def ask(client: socket.socket, server, data: bytes) -> bytes:
    """Send a datagram to the server and return the one that comes back."""
    client.sendto(data, ('127.0.0.1', server.port))
    reply, addr = client.recvfrom(65535)
    assert addr == ('127.0.0.1', server.port)
    return reply


def assert_it_serves(server) -> None:
    """Check that a new client gets its reply."""
    with udp_socket() as client:
        assert unstamped(ask(client, server, b'still there?')) == b'still there?'


def test_a_datagram_comes_back_right_behind_the_time(udp, udp_peer):
    assert re.fullmatch(STAMP + b'hi', ask(udp_peer, udp, b'hi'))


def test_any_bytes_come_back_untouched(udp, udp_peer):
    for data in [*ANY_BYTES, b'']:
        assert ask(udp_peer, udp, data)[26:] == data


def test_datagrams_of_any_size_come_back_whole(udp, udp_peer):
    for size in 1, 1023, 1024, 1025, 5000, 65507 - 26:
        data = b'0123456789' * (size // 10) + b'x' * (size % 10)
        assert unstamped(ask(udp_peer, udp, data)) == data


def test_a_datagram_too_large_to_return_costs_itself_alone(udp, udp_peer):
    line = f'{NOT_RETURNED}{udp_peer.getsockname()}: Message too long\n{WAITING}\n'

    def failed_often() -> bool:
        for _ in range(3):
            udp_peer.sendto(b'x' * 65507, ('127.0.0.1', udp.port))
        return udp.log.count(line) > 10 * PATIENCE  # a pause for each would be too long

    wait_until(failed_often)
    assert_it_serves(udp)


def test_it_logs_each_datagram_as_the_book_does(udp, udp_peer):
    ask(udp_peer, udp, b'hi')
    udp.wait_for(WAITING, times=2)
    assert udp.log == f'{WAITING}\n{RETURNED}{udp_peer.getsockname()}\n{WAITING}\n'


def test_each_of_many_clients_gets_its_own_reply_also_where_some_have_gone(udp):
    clients = [udp_socket() for _ in range(50)]
    for number, client in enumerate(clients):
        client.sendto(b'%d' % number, ('127.0.0.1', udp.port))
        with udp_socket() as gone:
            gone.sendto(b'bye', ('127.0.0.1', udp.port))
    for number, client in enumerate(clients):
        assert unstamped(client.recv(1024)) == b'%d' % number
        client.close()


def test_thousands_of_datagrams_at_a_time_do_no_harm(udp, udp_peer):
    for number in range(10000):
        udp_peer.sendto(b'%d' % number, ('127.0.0.1', udp.port))

    def answered() -> bool:
        with udp_socket() as client:
            client.settimeout(0.5)
            client.sendto(b'still there?', ('127.0.0.1', udp.port))
            try:
                return client.recv(1024).endswith(b']still there?')
            except TimeoutError:
                return False

    wait_until(answered)
    line = rf"{re.escape(WAITING)}|{re.escape(RETURNED)}\('127\.0\.0\.1', \d+\)"
    assert all(re.fullmatch(line, text) for text in udp.log.splitlines())


# Datagrams not to be answered


def assert_not_returned(server, addr: tuple) -> None:
    """Check that a datagram from there was logged, once, and that the server goes on."""
    wait_until(lambda: f'{addr}' in server.log or server.process.poll() is not None)
    assert_it_serves(server)
    assert f'{NOT_RETURNED}{addr}: not from a client\n' in server.log
    assert server.log.count(f'{addr}') == 1


def forge(source: int, server) -> None:
    """Send the server a datagram that claims to be from that port of 127.0.0.1."""
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        pytest.skip('takes root')
    with raw:
        header = struct.pack('!4H', source, server.port, 8 + 2, 0)  # RFC 768
        raw.sendto(header + b'hi', ('127.0.0.1', 0))


def test_a_datagram_from_port_0_is_logged_and_does_no_harm(udp):
    forge(0, udp)
    assert_not_returned(udp, ('127.0.0.1', 0))


def test_a_datagram_from_its_own_port_is_logged_alone(udp):
    forge(udp.port, udp)
    assert_not_returned(udp, ('127.0.0.1', udp.port))


def test_a_port_below_1024_gets_no_answer_and_port_1024_does(loopback, serve):
    udp = serve('tsUserv.py')  # in a network of its own, where each port is free
    for port in 7, 1023, 1024:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
            service.settimeout(PATIENCE)
            service.bind(('127.0.0.3', port))
            service.sendto(b'hi', ('127.0.0.1', udp.port))
            if port == 1024:
                assert unstamped(service.recv(1024)) == b'hi'
                continue
            assert_not_returned(udp, service.getsockname())
            service.setblocking(False)
            with pytest.raises(BlockingIOError):
                service.recv(1024)


# What recvfrom() does on other systems


def test_a_recvfrom_that_fails_costs_one_line_of_log(serve, failing):
    # So Windows says that a client has gone without its reply.
    server = serve('tsUserv.py', env=failing('recvfrom', 'ECONNRESET', times=1))
    server.wait_for(f'{WAITING}\n...not received: Forced to fail\n{WAITING}\n')
    assert_it_serves(server)


def test_a_recvfrom_that_fails_for_good_does_not_fill_the_log(serve, failing):
    server = serve('tsUserv.py', env=failing('recvfrom', 'ECONNRESET', times=10**9))
    server.wait_for('...not received: Forced to fail\n')
    lines = server.log.count('\n')
    time.sleep(1)  # to count over
    assert server.log.count('\n') - lines <= 25
