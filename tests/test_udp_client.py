"""What tsUclnt.py keeps to, whatever the network and the server do."""

import re
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import PATIENCE, STAMPED, free_port, run, start_client, udp_socket

LATE = b'[Sat Jun 17 17:27:20 2006]'


@pytest.fixture
def server():
    """A UDP socket, for a test to be the server."""
    with udp_socket() as server:
        yield server


@pytest.fixture
def client(server):
    """Start the client on some input; gives a future of its result."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda data: pool.submit(run, 'tsUclnt.py', server.getsockname()[1], data)


def assert_missed(errors: bytes, replies: int) -> None:
    """Check that the client has reported that many missing replies, each on a line."""
    line = r'tsUclnt\.py: no reply from localhost port \d+: waited 2 seconds\n'
    assert re.fullmatch(line * replies, errors.decode())


def test_it_sends_each_line_in_a_datagram_with_no_newline(server, client):
    result = client(b'one\ntwo\n')
    for line in b'one', b'two':
        data, addr = server.recvfrom(65535)
        assert data == line
        server.sendto(STAMPED + data, addr)
    assert result.result(PATIENCE).stdout == STAMPED + b'one\n' + STAMPED + b'two\n'
    assert result.result().returncode == 0


def test_without_a_server_it_reports_each_reply_that_did_not_come(client):
    result = run('tsUclnt.py', free_port(), b'one\ntwo\n')
    assert_missed(result.stderr, 2)
    assert (result.stdout, result.returncode) == (b'', 1)


def test_a_lost_reply_is_reported_and_the_dialog_goes_on(server, client):
    result = client(b'one\ntwo\nthree\n')
    for line in b'one', b'two', b'three':
        data, addr = server.recvfrom(65535)
        assert data == line
        if data != b'two':
            server.sendto(STAMPED + data, addr)
    assert result.result(PATIENCE).stdout == STAMPED + b'one\n' + STAMPED + b'three\n'
    assert_missed(result.result().stderr, 1)
    assert result.result().returncode == 1


@pytest.mark.parametrize('second_line', [b'two', b'one', b'xone', b'e', b'x]one'])
def test_a_reply_that_comes_too_late_is_not_shown_as_that_to_another_line(
    server, client, second_line
):
    result = client(b'one\n' + second_line + b'\n')
    first, first_addr = server.recvfrom(65535)
    second, second_addr = server.recvfrom(65535)
    server.sendto(LATE + first, first_addr)
    if first != second:  # even where the second line was sent from, it is not the reply
        server.sendto(LATE + first, second_addr)
    server.sendto(STAMPED + second, second_addr)
    assert result.result(PATIENCE).stdout == STAMPED + second_line + b'\n'
    assert_missed(result.result().stderr, 1)


def test_a_reply_that_the_network_has_doubled_is_shown_once(server, client):
    result = client(b'one\ntwo\nthree\n')
    for _ in range(3):
        data, addr = server.recvfrom(65535)
        server.sendto(STAMPED + data, addr)
        server.sendto(STAMPED + data, addr)
    lines = [STAMPED + line for line in (b'one\n', b'two\n', b'three\n')]
    assert result.result(PATIENCE).stdout == b''.join(lines)
    assert result.result().returncode == 0


@pytest.mark.parametrize('strange', [b'', b'boo', LATE + b'one', LATE + b'x' * 5000])
def test_a_datagram_from_a_stranger_is_not_shown(server, client, strange):
    result = client(b'one\n')
    data, addr = server.recvfrom(65535)
    with udp_socket() as stranger:
        stranger.sendto(strange, addr)
    server.sendto(STAMPED + data, addr)
    assert result.result(PATIENCE).stdout == STAMPED + b'one\n'
    assert result.result().returncode == 0


def test_strangers_cannot_keep_it_waiting(server, client):
    result = client(b'one\n')
    _, addr = server.recvfrom(65535)
    with udp_socket() as stranger:
        while not result.done():
            stranger.sendto(LATE + b'one', addr)
    assert_missed(result.result().stderr, 1)
    assert result.result().returncode == 1


def test_ctrl_c_quits_it_while_it_waits_for_a_reply(server):
    with start_client('tsUclnt.py', server.getsockname()[1]) as process:
        process.stdin.write(b'anybody there?\n')
        server.recvfrom(65535)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == (b'', b'')
    assert process.returncode == 0


def test_ctrl_c_after_a_lost_reply_leaves_the_status_that_tells(server):
    with start_client('tsUclnt.py', server.getsockname()[1]) as process:
        process.stdin.write(b'one\n')
        assert_missed(process.stderr.readline(), 1)
        process.stdin.write(b'two\n')
        server.recvfrom(65535)
        server.recvfrom(65535)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == (b'', b'')
    assert process.returncode == 1
