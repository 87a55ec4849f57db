"""What tsTclnt.py keeps to, however its connection is treated."""

import re
import socket

import pytest
from helpers import PATIENCE, STAMPED, close_with_reset

CUTS = {  # what arrives for each of two lines, piece by piece
    'a reply in parts': [[b'hello\n' + STAMPED + b'o', b'ne\n'], [STAMPED + b'two\n']],
    'byte by byte': [[bytes([byte]) for byte in STAMPED + 'é\n'.encode()]] * 2,
    'all in one': [[b'welcome\n' + STAMPED + b'one\n'], [STAMPED + b'two\n']],
    'a message in two': [[STAMPED + b'on', STAMPED + b'e\n'], [STAMPED + b'two\n']],
}


@pytest.mark.departure('a newline ends a message', r'\[\]o\\nne', pieces=CUTS['a reply in parts'])
@pytest.mark.parametrize('pieces', CUTS.values(), ids=CUTS)
def test_it_shows_each_piece_as_it_comes_and_stays_in_step(start, listener, pieces):
    client = start('tsTclnt.py', listener.getsockname()[1], b'one\ntwo\n\n')
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = shown = b''
    with connection:
        for line, reply in zip([b'one', b'two'], pieces, strict=True):
            assert connection.recv(1024).rstrip(b'\n') == line
            for piece in reply:
                connection.sendall(piece)
                sent += piece
                while len(shown) < len(sent) and (byte := client.stdout.read(1)):
                    shown += byte
    rest, errors = client.communicate(timeout=PATIENCE)
    shown = (shown + rest).replace(b'> ', b'')
    assert shown.replace(STAMPED, b'[]') == sent.replace(STAMPED, b'[]')
    assert (errors, client.returncode) == (b'', 0)


@pytest.mark.parametrize('close', [socket.socket.close, close_with_reset])
@pytest.mark.parametrize('part', [None, b'', STAMPED + b'tw'], ids=['idle', 'asked', 'answering'])
def test_a_connection_that_ends_is_an_error_of_one_line(start, listener, close, part):
    client = start('tsTclnt.py', listener.getsockname()[1], b'one\n')
    connection, _ = listener.accept()
    assert connection.recv(1024) == b'one\n'
    connection.sendall(STAMPED + b'one\n')
    assert client.stdout.readline() == STAMPED + b'one\n'
    if part is not None:
        client.stdin.write(b'two\n')
        assert connection.recv(1024) == b'two\n'
        connection.sendall(part)
    close(connection)
    output, errors = client.communicate(b'two\n' if part is None else b'', PATIENCE)
    if part is None or close is not close_with_reset:  # which takes back what is on its way
        assert output == (part or b'')
    reasons = 'the server has closed the connection|Connection reset by peer|Broken pipe'
    assert re.fullmatch(rf'tsTclnt\.py: localhost port \d+: ({reasons})\n', errors.decode())
    assert client.returncode == 1
