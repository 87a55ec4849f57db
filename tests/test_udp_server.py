"""What tsUserv.py keeps to, whatever datagrams come."""

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


@pytest.mark.departure('no reply to its own port', r'assert (?!0 ==)\d+ == 1', port=None)
@pytest.mark.departure('no reply to ports below 1024', r'OSError: \[Errno 22\] Inv', port=0)
@pytest.mark.parametrize('port', [0, 7, 1023, None])
def test_a_datagram_that_claims_to_be_from_a_service_is_logged_alone(udp, port):
    port = udp.port if port is None else port
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        pytest.skip('takes root')
    with raw:
        for source in port, 1024:  # the latter is a client's
            header = struct.pack('!4H', source, udp.port, 8 + 2, 0)  # RFC 768
            raw.sendto(header + b'hi', ('127.0.0.1', 0))
    service, client = ('127.0.0.1', port), ('127.0.0.1', 1024)
    wait_until(lambda: f'{client}\n' in udp.log or udp.process.poll() is not None)
    wait_until(udp.answers)
    assert udp.log.count(f'{service}') == 1  # it has not answered itself
    assert f'{NOT_RETURNED}{service}: not from a client\n' in udp.log
    assert f'{RETURNED}{client}\n' in udp.log


def test_each_recvfrom_that_fails_costs_a_line_of_log_and_not_too_many_in_a_second(serve, failing):
    # So Windows says that a client has gone without its reply.
    server = serve('tsUserv.py', env=failing('recvfrom', 'ECONNRESET', times=30))
    server.wait_for('...not received: Forced to fail\n')
    begin, lines = time.monotonic(), server.log.count('\n')
    time.sleep(1)  # to count over
    assert server.log.count('\n') - lines <= 25 * (time.monotonic() - begin)
    wait_until(server.answers)
    assert server.log.startswith(f'{WAITING}\n...not received: Forced to fail\n' * 30 + WAITING)
