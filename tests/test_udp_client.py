"""What tsUclnt.py keeps to, whatever the network and the server do."""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import PATIENCE, STAMPED, deaf_port, run, udp_socket

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
    line = r'tsUclnt\.py: localhost port \d+: no reply in 2 seconds\n'
    assert re.fullmatch(line * replies, errors.decode())


def test_it_sends_each_line_in_a_datagram_with_no_newline(server, client):
    result = client(b'one\ntwo\n')
    for line in b'one', b'two':
        data, addr = server.recvfrom(65535)
        assert data == line
        server.sendto(STAMPED + data, addr)
    assert result.result(PATIENCE).stdout == STAMPED + b'one\n' + STAMPED + b'two\n'
    assert result.result().returncode == 0


def test_without_a_server_it_reports_each_reply_that_did_not_come():
    with deaf_port(socket.SOCK_DGRAM) as deaf:
        result = run('tsUclnt.py', deaf.getsockname()[1], b'one\ntwo\n')
    assert_missed(result.stderr, 2)
    assert (result.stdout, result.returncode) == (b'', 1)


def test_it_has_one_message_in_flight_at_a_time(server, client):
    result = client(b'x' * 5000 + b'\nlast\n')
    data = b''
    while data != b'last':
        data, addr = server.recvfrom(65535)
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.recvfrom(65535)
        server.settimeout(PATIENCE)
        server.sendto(STAMPED + data, addr)
    assert result.result(PATIENCE).returncode == 0


@pytest.mark.parametrize(
    'form',
    [
        b'[Sat Jun 17 17:27:21 2006] %s',
        b"[Sat Jun 17 17:27:21 2006] b'%s'",
        b'[Sat Jun 17 17:27:21 2006]%s\n',
        b'%s [Sat Jun 17 17:27:21 2006]',
        b'%s',
    ],
)
def test_the_reply_of_a_server_that_a_reader_has_typed_in_is_shown(
    server, client, form
):
    result = client(b'one\ntwo\n')
    for _ in range(2):
        data, addr = server.recvfrom(65535)
        server.sendto(form % data, addr)
    result = result.result(PATIENCE)
    shown = b''.join((form % line).rstrip() + b'\n' for line in (b'one', b'two'))
    assert (result.stdout, result.stderr, result.returncode) == (shown, b'', 0)


def test_a_reply_with_quotes_around_the_longest_message_is_shown_whole(server, client):
    result = client(b'x' * 997 + b'\n')
    data, addr = server.recvfrom(65535)
    reply = STAMPED + b' %r' % data
    server.sendto(reply, addr)
    assert result.result(PATIENCE).stdout == reply + b'\n'


def test_where_something_else_comes_from_the_server_it_says_so_and_not_that_none_came(
    server, client
):
    result = client(b'one\ntwo\n')
    data, addr = server.recvfrom(65535)
    server.sendto(b'boo', addr)
    data, addr = server.recvfrom(65535)
    server.sendto(STAMPED + data, addr)
    result = result.result(PATIENCE)
    expected = r"tsUclnt\.py: localhost port \d+: what came is not the reply: b'boo'\n"
    assert re.fullmatch(expected, result.stderr.decode())
    assert (result.stdout, result.returncode) == (STAMPED + b'two\n', 1)


def test_what_it_says_of_something_else_is_short(server, client):
    result = client(b'one\n')
    _, addr = server.recvfrom(65535)
    server.sendto(b'x' * 5000, addr)
    assert len(result.result(PATIENCE).stderr) < 200


def test_it_waits_two_seconds_for_a_reply_and_not_just_one(server, client):
    result = client(b'one\n')
    data, addr = server.recvfrom(65535)
    time.sleep(1)  # as a slow server would
    server.sendto(STAMPED + data, addr)
    assert result.result(PATIENCE).stdout == STAMPED + b'one\n'
    assert result.result().returncode == 0


def test_it_gives_a_reply_up_before_three_seconds_are_over_whoever_else_sends(
    server, client
):
    result = client(b'one\n')
    _, addr = server.recvfrom(65535)
    time.sleep(1.5)  # as a very slow server would
    with udp_socket() as stranger:
        stranger.sendto(b'boo', addr)
    time.sleep(1.5)
    server.sendto(STAMPED + b'one', addr)
    assert_missed(result.result(PATIENCE).stderr, 1)


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
