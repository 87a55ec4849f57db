"""What tsUclnt.py keeps to, whatever datagrams come to it, and when."""

import re
import select
import time
from contextlib import suppress
from subprocess import TimeoutExpired

import pytest
from helpers import PATIENCE, STAMPED, run, udp_socket

LATE = b'[Sat Jun 17 17:27:20 2006]'
WHERE = r'tsUclnt\.py: localhost port \d+: '
NO_REPLY = f'{WHERE}no reply in 2 seconds\n'


def enter(data: bytes, start, udp_peer):
    """Start the client, which asks udp_peer, and enter some lines."""
    return start('tsUclnt.py', udp_peer.getsockname()[1], data)


def assert_shown(client, *lines: bytes, errors: str = '') -> None:
    """Check what the client has shown and reported (a pattern) when its input ends."""
    shown, reported = client.communicate(timeout=PATIENCE)
    assert shown == b''.join(line + b'\n' for line in lines)
    assert re.fullmatch(errors, reported.decode())
    assert client.returncode == (1 if errors else 0)


def test_it_waits_two_seconds_for_a_reply_reports_a_lost_one_and_goes_on(start, udp_peer):
    client = enter(b'one\ntwo\nthree\nfour\n', start, udp_peer)
    for line in b'one', b'two', b'three', b'four':
        data, addr = udp_peer.recvfrom(65535)
        assert data == line
        if data in (b'one', b'four'):
            time.sleep(1.1)  # as a slow server would
            udp_peer.sendto(STAMPED + data, addr)
    assert_shown(client, STAMPED + b'one', STAMPED + b'four', errors=NO_REPLY * 2)


@pytest.mark.parametrize('form', [b'[] %s', b"[] b'%s'", b'[]%s\n', b'%s []', b'%s'])
def test_a_reply_of_any_form_and_also_a_doubled_one_is_shown_once(start, udp_peer, form):
    form = form.replace(b'[]', STAMPED)
    lines = b'one', b'x' * 997  # the longest
    client = enter(b'\n'.join(lines) + b'\n', start, udp_peer)
    for _ in lines:
        data, addr = udp_peer.recvfrom(65535)
        for _ in range(2):  # the network may double it
            udp_peer.sendto(form % data, addr)
    assert_shown(client, *((form % line).rstrip(b'\n') for line in lines))


@pytest.mark.parametrize('other', [b'boo', b'boo' * 2000, b''], ids=['short', 'long', 'empty'])
def test_what_the_server_sends_beside_a_reply_is_reported_in_short(start, udp_peer, other):
    client = enter(b'one\ntwo\n', start, udp_peer)
    data, addr = udp_peer.recvfrom(65535)
    udp_peer.sendto(other, addr)
    with udp_socket() as stranger:
        stranger.sendto(b'bah', addr)
    data, addr = udp_peer.recvfrom(65535)
    udp_peer.sendto(STAMPED + data, addr)
    reported = rf"{WHERE}what came is not the reply: b'(boo){{0,26}}(bo)?'\n"
    assert_shown(client, STAMPED + b'two', errors=reported)


@pytest.mark.departure('two seconds for a reply, then a new socket', 'timed out')
def test_it_does_not_wait_for_ever_nor_show_a_late_reply(start, udp_peer):
    client = enter(b'one\none\n\n', start, udp_peer)
    first, first_addr = udp_peer.recvfrom(1024)
    udp_peer.settimeout(4)  # two seconds, and two more for a busy machine
    second, second_addr = udp_peer.recvfrom(1024)
    udp_peer.sendto(LATE + first, first_addr)
    udp_peer.sendto(STAMPED + second, second_addr)
    assert_shown(client, STAMPED + b'one', errors=NO_REPLY)


@pytest.mark.departure('no reply from another port', 'not one', strange=b'not one')
@pytest.mark.parametrize('strange', [b'', b'not one', LATE + b'one', b'one' * 2000])
def test_a_stranger_is_neither_shown_nor_asked_next(start, udp_peer, strange):
    client = enter(b'one\n', start, udp_peer)
    data, addr = udp_peer.recvfrom(1024)
    with udp_socket() as stranger:
        stranger.sendto(strange, addr)
        udp_peer.sendto(STAMPED + data, addr)
        assert client.stdout.readline().removeprefix(b'> ') == STAMPED + b'one\n'
        client.stdin.write(b'two\n')
        asked, _, _ = select.select([udp_peer, stranger], [], [], PATIENCE)
    assert asked == [udp_peer], 'the stranger is asked'


def test_strangers_cannot_keep_it_waiting(start, udp_peer):
    client = enter(b'one\n\n', start, udp_peer)
    _, addr = udp_peer.recvfrom(65535)
    with udp_socket() as stranger:
        stranger.sendto(LATE + b'one', addr)
        time.sleep(1.5)  # a wait that began anew with the next one would be too long
        stranger.sendto(LATE + b'one', addr)
    with suppress(TimeoutExpired):
        client.wait(1.5)
    udp_peer.sendto(STAMPED + b'one', addr)
    assert_shown(client, errors=NO_REPLY)


@pytest.mark.parametrize('call', ['sendto', 'recvfrom'])
def test_a_call_that_fails_costs_one_line(udp, failing, call):
    environment = failing(call, 'ENETUNREACH', times=1)
    result = run('tsUclnt.py', udp.port, b'one\ntwo\n', env=environment)
    assert result.stdout.endswith(b']two\n') and b'one' not in result.stdout
    reported = b'tsUclnt.py: localhost port %d: Forced to fail\n' % udp.port
    assert (result.stderr, result.returncode) == (reported, 1)
