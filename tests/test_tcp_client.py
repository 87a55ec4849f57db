"""What tsTclnt.py keeps to, however its connection is treated."""

import re
import select
import signal
import socket

import helpers
import pytest
from helpers import A_STAMP, ROOT, STAMP, departure, read_line, reset, run, stop


@departure('a newline ends a message', seen='came too early')
def test_reply_in_parts(start_client, listener):
    """TCP may cut a reply anywhere, also in a character. The client stays in step."""
    client = start_client('tsTclnt.py', listener.getsockname()[1], 'zwölf\ndrei\n\n'.encode())
    connection, _ = listener.accept()

    with connection:
        assert connection.recv(1024).strip() == 'zwölf'.encode()
        reply = A_STAMP + 'zwölf\n'.encode()
        connection.sendall(reply[:-4])  # up to the first byte of ö
        early, _, _ = select.select([connection], [], [], 0.5)
        assert not early, 'the next line came too early'
        connection.sendall(reply[-4:])

        assert connection.recv(1024) == b'drei\n'
        connection.sendall(A_STAMP + b'drei\n')

        shown, errors = client.communicate(timeout=helpers.PATIENCE)
    assert shown == reply + A_STAMP + b'drei\n'
    assert (errors, client.returncode) == (b'', 0)


def test_reply_with_several_stamps(start_client, listener):
    """A line of more than BUFSIZ bytes is several messages, and so several stamps."""
    client = start_client('tsTclnt.py', listener.getsockname()[1], b'hello\n\n')
    connection, _ = listener.accept()

    with connection:
        connection.recv(1024)
        connection.sendall(A_STAMP + b'hel' + A_STAMP + b'lo\n')

        shown, errors = client.communicate(timeout=helpers.PATIENCE)
        assert (shown, errors) == (A_STAMP + b'hel' + A_STAMP + b'lo\n', b'')


@departure('at most 64 KiB a line', seen='timed out')
def test_megabytes(tcp_server, folder):
    """With a line of megabytes, client and server would wait for each other."""
    lines = b'one\n' + b'x' * 10_000_000

    ended = run(folder, 'tsTclnt.py', tcp_server.port, lines)

    assert re.fullmatch(STAMP + b'one\n', ended.stdout)
    assert ended.stderr == b'tsTclnt.py: a line of more than 64 KiB\n'
    assert ended.returncode == 1


def test_longest_line(tcp_server):
    longest = run(ROOT, 'tsTclnt.py', tcp_server.port, b'x' * 65536)
    too_long = run(ROOT, 'tsTclnt.py', tcp_server.port, b'x' * 65537)

    assert longest.stdout.count(b'x') == 65536
    assert longest.returncode == 0
    assert (too_long.stdout, too_long.returncode) == (b'', 1)


REASONS = 'the server has closed the connection|Connection reset by peer|Broken pipe'


@departure('an error when the server has ended', seen="^assert '' ==")
def test_server_that_ends(start_client, listener):
    client = start_client('tsTclnt.py', listener.getsockname()[1], b'two\n')
    connection, _ = listener.accept()
    connection.recv(1024)

    connection.close()

    assert client.communicate(timeout=helpers.PATIENCE)[1].decode() == (
        f'tsTclnt.py: localhost port {listener.getsockname()[1]}: '
        'the server has closed the connection\n'
    )
    assert client.returncode == 1


@pytest.mark.parametrize('close', [socket.socket.close, reset])
def test_server_that_ends_in_mid_reply(start_client, listener, close):
    client = start_client('tsTclnt.py', listener.getsockname()[1], b'two\n')
    connection, _ = listener.accept()
    connection.recv(1024)
    connection.sendall(A_STAMP + b'tw')

    close(connection)

    errors = client.communicate(timeout=helpers.PATIENCE)[1].decode()
    assert re.fullmatch(rf'tsTclnt\.py: localhost port \d+: ({REASONS})\n', errors)
    assert client.returncode == 1


def test_server_that_ends_between_lines(serve, start_client):
    server = serve('tsTserv.py')
    client = start_client('tsTclnt.py', server.port, b'one\n')
    assert re.fullmatch(STAMP + b'one\n', read_line(client))

    server.stop(signal.SIGINT)

    errors = client.communicate(b'two\n', helpers.PATIENCE)[1].decode()
    assert re.fullmatch(rf'tsTclnt\.py: localhost port \d+: ({REASONS})\n', errors)
    assert client.returncode == 1


def test_ctrl_c_while_it_waits(start_client, listener):
    client = start_client('tsTclnt.py', listener.getsockname()[1], b'anybody there?\n')
    connection, _ = listener.accept()

    with connection:
        connection.recv(1024)
        assert stop(client, signal.SIGINT) == 0
        assert connection.recv(1024) == b''
    assert (client.stdout.read(), client.stderr.read()) == (b'', b'')
