"""What tsUclnt.py keeps to, whatever datagrams come to it, and when."""

import re
import select
import signal
import socket
import time

import helpers
import pytest
from helpers import A_STAMP, ROOT, departure, failing, read_line, run, stop, unstamped

NO_REPLY = r'tsUclnt\.py: localhost port \d+: timed out\n'


@pytest.fixture
def enter(start_client, udp_peer):
    """Start the client, which asks udp_peer, and enter some lines."""
    return lambda data: start_client('tsUclnt.py', udp_peer.getsockname()[1], data)


@departure('two seconds for a reply', seen='timed out')
@pytest.mark.parametrize('end', [b'\n', b''], ids=['Enter', 'end of input'])
def test_lost_reply(enter, udp_peer, end):
    """It costs two seconds and one line, the next line is sent, and the status is 1."""
    client = enter(b'one\ntwo\n')
    assert udp_peer.recvfrom(1024)[0] == b'one'

    udp_peer.settimeout(6)  # two seconds, and four for a busy machine
    data, addr = udp_peer.recvfrom(1024)
    udp_peer.sendto(A_STAMP + data, addr)

    shown, errors = client.communicate(end, helpers.PATIENCE)
    assert shown == A_STAMP + b'two\n'
    assert re.fullmatch(NO_REPLY, errors.decode())
    assert client.returncode == 1


def test_slow_reply(enter, udp_peer):
    """A server may take a while."""
    client = enter(b'one\n\n')
    data, addr = udp_peer.recvfrom(1024)

    time.sleep(0.5)  # as the server's work
    udp_peer.sendto(A_STAMP + data, addr)

    assert client.communicate(timeout=helpers.PATIENCE) == (A_STAMP + b'one\n', b'')
    assert client.returncode == 0


def test_ctrl_c_after_a_lost_reply(enter, udp_peer):
    client = enter(b'one\ntwo\n')
    udp_peer.recvfrom(1024)
    udp_peer.recvfrom(1024)  # now it waits for the second reply

    assert stop(client, signal.SIGINT) == 1
    assert re.fullmatch(NO_REPLY, client.stderr.read().decode())


def test_ctrl_c_while_it_waits(enter, udp_peer):
    client = enter(b'anybody there?\n')
    udp_peer.recvfrom(1024)

    assert stop(client, signal.SIGINT) == 0
    assert (client.stdout.read(), client.stderr.read()) == (b'', b'')


@departure('the reply that holds the message', seen='out of step')
def test_late_and_doubled_replies(enter, udp_peer):
    """They are shown as they come, and stand for no other."""
    client = enter(b'one\ntwo\n\n')
    _, addr = udp_peer.recvfrom(1024)
    udp_peer.sendto(A_STAMP + b'one', addr)
    udp_peer.sendto(A_STAMP + b'one', addr)

    assert udp_peer.recvfrom(1024)[0] == b'two'
    udp_peer.sendto(A_STAMP + b'two', addr)

    shown, errors = client.communicate(timeout=helpers.PATIENCE)
    assert A_STAMP + b'two\n' in shown, 'the client is out of step'
    assert shown == 2 * (A_STAMP + b'one\n') + A_STAMP + b'two\n'
    assert (errors, client.returncode) == (b'', 0)


FORMS = [b'[] %s', b"[] b'%s'", b'[]%s\n', b'%s', b'%s%s']


@pytest.mark.parametrize('form', FORMS)
def test_reply_of_another_form(enter, udp_peer, form):
    """A reader's own server may answer otherwise."""
    client = enter(b'one\n\n')
    data, addr = udp_peer.recvfrom(1024)
    reply = form.replace(b'[]', A_STAMP).replace(b'%s', data)

    udp_peer.sendto(reply, addr)

    assert client.communicate(timeout=helpers.PATIENCE) == (reply.removesuffix(b'\n') + b'\n', b'')
    assert client.returncode == 0


def test_answer_that_is_no_reply(enter, udp_peer):
    """It is shown, and so are others, until two seconds pass without any."""
    client = enter(b'one\n\n')
    _, addr = udp_peer.recvfrom(1024)

    for answer in [b'welcome', b'', b'bad request']:
        udp_peer.sendto(answer, addr)

    shown, errors = client.communicate(timeout=helpers.PATIENCE)
    assert shown == b'welcome\n\nbad request\n'
    assert re.fullmatch(NO_REPLY, errors.decode())
    assert client.returncode == 1


@departure('`recvfrom(65535)`', seen='the reply is cut')
def test_long_reply(enter, udp_peer):
    """It may be longer than BUFSIZ."""
    client = enter(b'one\n\n')
    _, addr = udp_peer.recvfrom(1024)
    reply = A_STAMP + b'one' + b'x' * 60_000 + b'.'

    udp_peer.sendto(reply, addr)

    shown, errors = client.communicate(timeout=helpers.PATIENCE)
    assert reply in shown, 'the reply is cut'
    assert (shown, errors, client.returncode) == (reply + b'\n', b'', 0)


@departure('no datagrams from other ports', seen='not for you')
def test_stranger(enter, udp_peer):
    """A datagram from elsewhere is not shown, and nothing is sent there."""
    client = enter(b'one\n')
    data, addr = udp_peer.recvfrom(1024)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(('127.0.0.1', 0))
        stranger.sendto(b'not for you: one', addr)
        udp_peer.sendto(A_STAMP + data, addr)
        assert read_line(client).removeprefix(b'> ') == A_STAMP + b'one\n'

        client.stdin.write(b'two\n')
        asked, _, _ = select.select([udp_peer, stranger], [], [], helpers.PATIENCE)
        assert asked == [udp_peer]


@pytest.mark.parametrize('call', ['sendto', 'recvfrom'])
def test_call_that_fails(udp_server, before_script, call):
    """It costs one line: so Windows says that there is no server."""
    variables = before_script(failing(call, 1, 1))

    ended = run(ROOT, 'tsUclnt.py', udp_server.port, b'one\ntwo\n', env=variables)

    assert unstamped(ended.stdout).endswith(b'two\n')
    assert ended.stderr == b'tsUclnt.py: localhost port %d: Forced to fail\n' % udp_server.port
    assert ended.returncode == 1


def test_line_that_is_too_long(udp_server):
    lines = b'x' * 65508 + b'\ntwo\n'

    ended = run(ROOT, 'tsUclnt.py', udp_server.port, lines)

    assert unstamped(ended.stdout) == b'two\n'
    assert ended.stderr == b'tsUclnt.py: localhost port %d: Message too long\n' % udp_server.port
    assert ended.returncode == 1
