"""What tsUclnt.py keeps to, whatever the network and the server do."""

import re
import select
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import PATIENCE, STAMPED, run, start_client, udp_socket

LATE = b'[Sat Jun 17 17:27:20 2006]'
WHERE = r'tsUclnt\.py: localhost port \d+: '


@pytest.fixture
def client(udp_peer):
    """Start the client on some input; gives a future of its result."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda data: pool.submit(run, 'tsUclnt.py', udp_peer.getsockname()[1], data)


def assert_shown(result, *lines: bytes, missed: int = 0) -> None:
    """Check which replies the client has shown, and how many it has reported missing."""
    result = result.result(PATIENCE)
    assert result.stdout == b''.join(STAMPED + line + b'\n' for line in lines)
    errors = rf'({WHERE}no reply in 2 seconds\n){{{missed}}}'
    assert re.fullmatch(errors, result.stderr.decode())
    assert result.returncode == (1 if missed else 0)


def test_it_sends_each_line_in_a_datagram_with_no_newline_one_at_a_time(udp_peer, client):
    result = client(b'x' * 2000 + b'\ntwo\n')
    received = []
    while len(received) < 4:
        data, addr = udp_peer.recvfrom(65535)
        received.append(data)
        udp_peer.settimeout(0.1)
        with pytest.raises(TimeoutError):
            udp_peer.recvfrom(65535)
        udp_peer.settimeout(PATIENCE)
        udp_peer.sendto(STAMPED + data, addr)
    assert [len(data) for data in received] == [997, 997, 6, 3]
    assert_shown(result, *received)


def test_without_a_server_it_reports_each_reply_that_did_not_come(client):
    assert_shown(client(b'one\ntwo\n'), missed=2)


def test_a_lost_reply_is_reported_and_the_dialog_goes_on(udp_peer, client):
    result = client(b'one\ntwo\nthree\n')
    for line in b'one', b'two', b'three':
        data, addr = udp_peer.recvfrom(65535)
        assert data == line
        if data != b'two':
            udp_peer.sendto(STAMPED + data, addr)
    assert_shown(result, b'one', b'three', missed=1)


# Replies of other forms


@pytest.mark.parametrize('form', [b'[] %s', b"[] b'%s'", b'[]%s\n', b'%s []', b'%s'])
def test_the_reply_of_a_server_that_a_reader_has_typed_in_is_shown(udp_peer, client, form):
    form = form.replace(b'[]', STAMPED)
    longest = b'x' * 997
    result = client(b'one\n' + longest + b'\n')
    for _ in range(2):
        data, addr = udp_peer.recvfrom(65535)
        udp_peer.sendto(form % data, addr)
    result = result.result(PATIENCE)
    shown = b''.join((form % line).rstrip() + b'\n' for line in (b'one', longest))
    assert (result.stdout, result.stderr, result.returncode) == (shown, b'', 0)


@pytest.mark.parametrize('other', [b'boo', b'boo' * 2000, b''], ids=['short', 'long', 'empty'])
def test_what_the_server_sends_beside_a_reply_is_reported_as_such_and_in_short(
    udp_peer, client, other
):
    result = client(b'one\ntwo\n')
    data, addr = udp_peer.recvfrom(65535)
    udp_peer.sendto(other, addr)
    with udp_socket() as stranger:
        stranger.sendto(b'bah', addr)
    data, addr = udp_peer.recvfrom(65535)
    udp_peer.sendto(STAMPED + data, addr)
    result = result.result(PATIENCE)
    expected = rf"{WHERE}what came is not the reply: b'(boo){{0,26}}(bo)?'\n"
    assert re.fullmatch(expected, result.stderr.decode())
    assert (result.stdout, result.returncode) == (STAMPED + b'two\n', 1)


# Replies that come late, twice or from a stranger


def test_it_waits_two_seconds_for_a_reply_and_not_just_one(udp_peer, client):
    result = client(b'one\n')
    data, addr = udp_peer.recvfrom(65535)
    time.sleep(1.3)  # as a slow server would
    udp_peer.sendto(STAMPED + data, addr)
    assert_shown(result, b'one')


def test_it_does_not_wait_for_ever_nor_show_a_late_reply(root, udp_peer):
    udp_peer.settimeout(4)
    with start_client('tsUclnt.py', udp_peer.getsockname()[1], root=root) as client:
        client.stdin.write(b'one\none\n\n')
        first, first_addr = udp_peer.recvfrom(1024)
        try:
            second, second_addr = udp_peer.recvfrom(1024)
            udp_peer.sendto(LATE + first, first_addr)
            udp_peer.sendto(STAMPED + second, second_addr)
            shown, errors = client.communicate(timeout=PATIENCE)
            assert shown == STAMPED + b'one\n'
            assert re.fullmatch(rf'{WHERE}no reply in 2 seconds\n', errors.decode())
        finally:
            client.kill()


def test_a_reply_that_the_network_has_doubled_is_shown_once(udp_peer, client):
    result = client(b'one\ntwo\nthree\n')
    for _ in range(3):
        data, addr = udp_peer.recvfrom(65535)
        udp_peer.sendto(STAMPED + data, addr)
        udp_peer.sendto(STAMPED + data, addr)
    assert_shown(result, b'one', b'two', b'three')


@pytest.mark.parametrize('strange', [b'', b'not one', LATE + b'one', b'one' * 2000])
def test_a_stranger_is_neither_shown_nor_asked_next(root, udp_peer, strange):
    with udp_socket() as stranger:
        with start_client('tsUclnt.py', udp_peer.getsockname()[1], root=root) as client:
            client.stdin.write(b'one\n')
            data, addr = udp_peer.recvfrom(1024)
            stranger.sendto(strange, addr)
            udp_peer.sendto(STAMPED + data, addr)
            shown = client.stdout.readline().replace(b'> ', b'')
            client.stdin.write(b'two\n')
            asked, _, _ = select.select([udp_peer, stranger], [], [], PATIENCE)
            client.kill()
    assert shown == STAMPED + b'one\n'
    assert asked == [udp_peer], 'the stranger is asked'


def test_strangers_cannot_keep_it_waiting(udp_peer, client):
    result = client(b'one\n')
    _, addr = udp_peer.recvfrom(65535)
    begin = time.monotonic()
    with udp_socket() as stranger:
        stranger.sendto(LATE + b'one', addr)
        time.sleep(1.5)  # a wait that began anew with the next one would be too long
        while time.monotonic() < begin + 3 and not result.done():
            stranger.sendto(LATE + b'one', addr)
    udp_peer.sendto(STAMPED + b'one', addr)
    assert_shown(result, missed=1)


# Failures of the system


@pytest.mark.parametrize('call', ['sendto', 'recvfrom'])
def test_a_call_that_fails_costs_one_line(serve, failing, call):
    port = serve('tsUserv.py').port
    environment = failing(call, 'ENETUNREACH', times=1)
    result = run('tsUclnt.py', port, b'one\ntwo\n', env=environment)
    assert result.stdout.endswith(b']two\n') and b'one' not in result.stdout
    assert result.stderr == b'tsUclnt.py: localhost port %d: Forced to fail\n' % port
    assert result.returncode == 1
