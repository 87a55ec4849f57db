"""What tsUserv.py keeps to, whatever datagrams come."""

import re
import socket
import struct
import time

import pytest
from helpers import CAME, PATIENCE, WAITS, unstamped, wait_until

WAITING, RETURNED = WAITS['tsUserv.py'], CAME['tsUserv.py']
NOT_RETURNED = '...received from and not returned to: '


@pytest.mark.departure('`recvfrom(65535)`', 'assert b.0123456789')
def test_datagrams_of_any_size_come_back_whole(udp):
    with udp.connect() as client:
        for size in 0, 1, 1023, 1024, 1025, 5000, 65507 - 26:
            data = (b'0123456789' * 6554)[:size]
            client.send(data)
            assert unstamped(client.recv(65535)) == data


def test_a_datagram_too_large_to_return_costs_itself_alone(udp, udp_peer):
    line = f'{NOT_RETURNED}{udp_peer.getsockname()}: Message too long\n{WAITING}\n'

    def failed_often() -> bool:
        for _ in range(3):
            udp_peer.sendto(b'x' * 65507, ('127.0.0.1', udp.port))
        return udp.log.count(line) > 10 * PATIENCE  # a pause for each would be too long

    wait_until(failed_often)
    wait_until(udp.answers)


def test_thousands_of_datagrams_at_a_time_do_no_harm(udp, udp_peer):
    for number in range(10000):
        udp_peer.sendto(b'%d' % number, ('127.0.0.1', udp.port))
    wait_until(udp.answers)
    udp.stop()
    line = rf"{re.escape(WAITING)}|{re.escape(RETURNED)}\('127\.0\.0\.1', \d+\)"
    assert all(re.fullmatch(line, text) for text in udp.log.splitlines())


def assert_not_returned(server, addr: tuple) -> None:
    """Check that a datagram from there was logged, once, and that the server goes on."""
    wait_until(lambda: f'{addr}' in server.log or server.process.poll() is not None)
    wait_until(server.answers)
    assert f'{NOT_RETURNED}{addr}: not from a client\n' in server.log
    assert server.log.count(f'{addr}') == 1


@pytest.mark.departure('no reply to its own port', 'not returned to', own=True)
@pytest.mark.departure('no reply to ports below 1024', r'OSError: \[Errno 22\] Inv', own=False)
@pytest.mark.parametrize('own', [False, True], ids=['port 0', 'its own port'])
def test_a_datagram_that_claims_to_be_from_there_is_logged_alone(udp, own):
    source = udp.port if own else 0
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        pytest.skip('takes root')
    with raw:
        header = struct.pack('!4H', source, udp.port, 8 + 2, 0)  # RFC 768
        raw.sendto(header + b'hi', ('127.0.0.1', 0))
    assert_not_returned(udp, ('127.0.0.1', source))


def test_a_port_below_1024_gets_no_answer_and_port_1024_does(loopback, serve):
    udp = serve('tsUserv.py')  # in a network of its own, where each port is free
    for port in 7, 1023, 1024:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
            service.bind(('127.0.0.3', port))
            service.sendto(b'hi', ('127.0.0.1', udp.port))
            if port == 1024:
                assert unstamped(service.recv(1024)) == b'hi'
                continue
            assert_not_returned(udp, service.getsockname())
            service.setblocking(False)
            with pytest.raises(BlockingIOError):
                service.recv(1024)


def test_each_recvfrom_that_fails_costs_a_line_of_log_and_not_too_many_in_a_second(serve, failing):
    # So Windows says that a client has gone without its reply.
    server = serve('tsUserv.py', env=failing('recvfrom', 'ECONNRESET', times=30))
    server.wait_for('...not received: Forced to fail\n')
    begin, lines = time.monotonic(), server.log.count('\n')
    time.sleep(1)  # to count over
    assert server.log.count('\n') - lines <= 25 * (time.monotonic() - begin)
    wait_until(server.answers)
    assert server.log.startswith(f'{WAITING}\n...not received: Forced to fail\n' * 30 + WAITING)
