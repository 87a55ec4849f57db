"""What tsUserv.py keeps to, whatever datagrams come."""

import re
import socket
import struct

import pytest
from helpers import ANY_BYTES, PATIENCE, STAMP, udp_socket, unstamped, wait_until

WAITING = 'waiting for message...'
RETURNED = '...received from and returned to: '
NOT_RETURNED = '...received from and not returned to: '


@pytest.fixture
def server(serve):
    return serve('tsUserv.py')


@pytest.fixture
def client():
    """A UDP socket on 127.0.0.1."""
    with udp_socket() as client:
        yield client


def ask(client: socket.socket, server, data: bytes) -> bytes:
    """Send a datagram to the server and return the one that comes back."""
    client.sendto(data, ('127.0.0.1', server.port))
    reply, addr = client.recvfrom(65535)
    assert addr == ('127.0.0.1', server.port)
    return reply


def test_a_datagram_comes_back_with_the_time_before_it_and_nothing_between(
    server, client
):
    assert re.fullmatch(STAMP + b'hi', ask(client, server, b'hi'))


def test_any_bytes_come_back_untouched(server, client):
    for data in ANY_BYTES:
        assert ask(client, server, data)[26:] == data


@pytest.mark.parametrize('size', [0, 1, 1023, 1024, 1025, 5000, 65507 - 26])
def test_datagrams_of_any_size_come_back_whole(server, client, size):
    data = b'0123456789' * (size // 10) + b'x' * (size % 10)
    assert ask(client, server, data)[26:] == data


def test_a_datagram_too_large_to_return_is_logged_and_does_no_harm(server, client):
    client.sendto(b'x' * 65507, ('127.0.0.1', server.port))
    assert unstamped(ask(client, server, b'hi')) == b'hi'
    line = f'{NOT_RETURNED}{client.getsockname()}: Message too long\n'
    server.wait_for(f'{line}{WAITING}\n')


def test_it_logs_each_datagram_as_the_book_does(server, client):
    ask(client, server, b'hi')
    server.wait_for(WAITING, times=2)
    assert server.log == f'{WAITING}\n{RETURNED}{client.getsockname()}\n{WAITING}\n'


def test_each_of_many_clients_gets_its_own_replies(server):
    clients = [udp_socket() for _ in range(50)]
    for number, client in enumerate(clients):
        client.sendto(b'%d' % number, ('127.0.0.1', server.port))
    for number, client in enumerate(clients):
        assert unstamped(client.recv(1024)) == b'%d' % number
        client.close()


def test_senders_that_have_gone_do_no_harm(server, client):
    for _ in range(100):
        with udp_socket() as gone:
            gone.sendto(b'bye', ('127.0.0.1', server.port))
    assert unstamped(ask(client, server, b'hi')) == b'hi'


def test_thousands_of_datagrams_at_a_time_do_no_harm(server, client):
    client.settimeout(0.5)
    for number in range(10000):
        client.sendto(b'%d' % number, ('127.0.0.1', server.port))
    wait_until(lambda: server.log.count(RETURNED) > 100)

    def answered() -> bool:
        client.sendto(b'still there?', ('127.0.0.1', server.port))
        try:
            while not client.recv(1024).endswith(b']still there?'):
                pass
        except TimeoutError:
            return False
        return True

    wait_until(answered)
    line = rf"{re.escape(WAITING)}|{re.escape(RETURNED)}\('127\.0\.0\.1', \d+\)"
    assert all(re.fullmatch(line, text) for text in server.log.splitlines())


# Datagrams not to be answered


def test_a_datagram_from_port_0_is_not_answered_and_does_no_harm(server, client):
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        pytest.skip('takes root')
    with raw:
        header = struct.pack('!4H', 0, server.port, 8 + 2, 0)  # RFC 768
        raw.sendto(header + b'hi', ('127.0.0.1', 0))
    server.wait_for(f"{NOT_RETURNED}('127.0.0.1', 0): not from a client\n")
    assert unstamped(ask(client, server, b'hi')) == b'hi'


@pytest.fixture
def own_network(loopback):
    """A network of the test's own, in which every port is free."""


@pytest.mark.parametrize('port', [7, 13, 19, 53, 1023])
def test_a_datagram_from_a_port_below_1024_is_not_answered_but_logged(
    own_network, server, client, port
):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(('127.0.0.3', port))
        service.sendto(b'hi', ('127.0.0.1', server.port))
        line = f"{NOT_RETURNED}('127.0.0.3', {port}): not from a client\n"
        server.wait_for(f'{line}{WAITING}\n')
        assert_nothing_came_back(service)
    assert unstamped(ask(client, server, b'hi')) == b'hi'


def test_a_datagram_from_port_1024_is_answered(own_network, server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(('127.0.0.3', 1024))
        client.settimeout(PATIENCE)
        assert unstamped(ask(client, server, b'hi')) == b'hi'


def assert_nothing_came_back(service: socket.socket) -> None:
    """Check that there is no reply; the log, read before, comes after any reply."""
    service.setblocking(False)
    with pytest.raises(BlockingIOError):
        service.recv(1024)


def test_a_datagram_from_its_own_port_number_is_not_answered_but_logged(serve, client):
    server = serve('tsUserv.py', '--host', '127.0.0.1')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other_server:
        other_server.bind(('127.0.0.2', server.port))
        other_server.sendto(b'hi', ('127.0.0.1', server.port))
        server.wait_for(
            f"{NOT_RETURNED}('127.0.0.2', {server.port}): not from a client\n"
        )
        assert_nothing_came_back(other_server)
    assert unstamped(ask(client, server, b'hi')) == b'hi'
