"""What tsUserv.py keeps to, whatever datagrams come."""

import socket
import struct
import time

import pytest
from helpers import CAME, WAITS, departure, failing, unstamped, wait_until

NOT_RETURNED = '...received from and not returned to:'


@departure('`recvfrom(65535)`', seen='0123456789')
@pytest.mark.parametrize('size', [1025, 65507 - 26])
def test_long_datagram_comes_back_whole(udp_server, size):
    data = (b'0123456789' * 6554)[:size]

    assert udp_server.ask(data).endswith(data)


def test_two_clients_in_turn(udp_server):
    """Each has its own replies, and no other."""
    with udp_server.connect() as first, udp_server.connect() as second:
        for _ in range(5):
            first.send(b'the first')
            second.send(b'the second')
            assert unstamped(first.recv(1024)) == b'the first'
            assert unstamped(second.recv(1024)) == b'the second'


def test_empty_datagram(udp_server):
    assert unstamped(udp_server.ask(b'')) == b''


@departure('an error costs one datagram', seen='Forced to fail')
def test_recvfrom_that_fails(serve, before_script):
    """So Windows says that a client has gone without its reply. The log is not filled."""
    server = serve('tsUserv.py', env=before_script(failing('recvfrom', 2, 20)))
    begin = time.monotonic()
    server.ask(b'the first')

    assert unstamped(server.ask(b'still there?')) == b'still there?'

    assert server.errors.count('...not received: Forced to fail\n') == 19
    assert time.monotonic() - begin >= 1, 'it would fill its log'


def test_reply_that_is_too_large(udp_server, udp_peer):
    udp_peer.sendto(b'x' * 65507, ('127.0.0.1', udp_server.port))

    addr = udp_peer.getsockname()
    udp_server.wait_for(f'{NOT_RETURNED} {addr} Message too long\n')
    wait_until(udp_server.answers)
    assert f'{CAME["tsUserv.py"]} {addr}' not in udp_server.log


@departure('no reply to ports below 1024', seen='was answered|Invalid argument')
@pytest.mark.parametrize('port', [0, 7, 1023])
def test_sender_that_may_be_a_service(udp_server, port):
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        pytest.skip('takes root')
    with raw:
        for sender in port, 1024:  # the latter is a client's
            header = struct.pack('!4H', sender, udp_server.port, 8 + 2, 0)  # RFC 768
            raw.sendto(header + b'hi', ('127.0.0.1', 0))

    client = f"{CAME['tsUserv.py']} ('127.0.0.1', 1024)\n{WAITS['tsUserv.py']}\n"
    wait_until(lambda: client in udp_server.log or udp_server.process.poll() is not None)
    assert udp_server.process.poll() is None, udp_server.errors
    assert f"{CAME['tsUserv.py']} ('127.0.0.1', {port})" not in udp_server.log, 'was answered'
    assert f"{NOT_RETURNED} ('127.0.0.1', {port})\n" in udp_server.errors
