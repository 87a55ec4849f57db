"""What tsTclnt.py keeps to, whatever the network and the server do."""

import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import PATIENCE, STAMPED, close_with_reset, run, start_client


@pytest.fixture
def client(listener):
    """Start the client on some input; gives its future result and the connection."""
    with ThreadPoolExecutor(1) as pool:

        def start(data: bytes):
            result = pool.submit(run, 'tsTclnt.py', listener.getsockname()[1], data)
            connection, _ = listener.accept()
            connection.settimeout(PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return result, connection

        yield start


def receive_line(connection: socket.socket) -> bytes:
    """Return what the client sends up to a newline."""
    line = b''
    while not line.endswith(b'\n'):
        line += connection.recv(1)
    return line


def assert_output(result, output: bytes) -> None:
    """Check what the client printed, and that it had no trouble."""
    result = result.result(PATIENCE)
    assert result.stdout == output
    assert (result.stderr, result.returncode) == (b'', 0)


def test_it_ends_each_message_with_a_newline_and_has_one_in_flight_at_a_time(client):
    result, connection = client(b'x' * 2000 + b'\ntwo')
    received = []
    with connection:
        while len(received) < 4:
            received.append(connection.recv(2048))
            connection.settimeout(0.1)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(PATIENCE)
            connection.sendall(STAMPED + received[-1])
        assert connection.recv(1024) == b''
    assert [len(message) for message in received] == [998, 998, 7, 4]
    assert received[-1] == b'two\n'
    assert_output(result, b''.join(STAMPED + message for message in received))


def test_a_reply_that_arrives_in_parts_leaves_it_in_step(root, listener):
    with start_client('tsTclnt.py', listener.getsockname()[1], root=root) as client:
        client.stdin.write(b'one\ntwo\n\n')
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            shown = b''
            for part in b'hello\n' + STAMPED + b'o', b'ne\n', STAMPED + b'two\n':
                connection.sendall(part)
                while part not in shown and (byte := client.stdout.read(1)):
                    shown += byte  # what has come is shown at once
        shown += client.stdout.read()
    shown = shown.replace(b'> ', b'').replace(STAMPED, b'[]')
    assert shown == b'hello\n[]one\n[]two\n'


def test_a_reply_that_arrives_a_byte_at_a_time_leaves_it_in_step(client):
    result, connection = client('é\ntwo\n'.encode())
    with connection:
        for _ in range(2):
            for byte in STAMPED + receive_line(connection):
                connection.sendall(bytes([byte]))
    assert_output(result, STAMPED + 'é\n'.encode() + STAMPED + b'two\n')


def test_all_that_a_server_sends_in_one_piece_is_shown(client):
    result, connection = client(b'one\ntwo\n')
    with connection:
        receive_line(connection)
        connection.sendall(b'welcome\n' + STAMPED + b'one\n')
        receive_line(connection)
        connection.sendall(STAMPED + b'two\n')
    assert_output(result, b'welcome\n' + STAMPED + b'one\n' + STAMPED + b'two\n')


def test_a_message_that_the_network_cut_in_two_leaves_it_in_step(client):
    result, connection = client(b'onetwo\nthree\n')
    with connection:
        assert receive_line(connection) == b'onetwo\n'
        connection.sendall(STAMPED + b'one')  # as the server would return the two parts
        connection.sendall(STAMPED + b'two\n')
        connection.sendall(STAMPED + receive_line(connection))
    assert_output(result, STAMPED + b'one' + STAMPED + b'two\n' + STAMPED + b'three\n')


# Servers that go away or do not stop


def assert_one_line_of_error(errors: bytes) -> None:
    """Check that the client said on one line what happened."""
    closed = 'the server has closed the connection'
    reasons = f'{closed}|Connection reset by peer|Broken pipe'
    assert re.fullmatch(rf'tsTclnt\.py: localhost port \d+: ({reasons})\n', errors.decode())


@pytest.mark.parametrize('part', [b'', STAMPED + b'tw'], ids=['before', 'within'])
@pytest.mark.parametrize('close', [socket.socket.close, close_with_reset])
def test_a_connection_that_ends_before_or_within_a_reply_is_an_error_of_one_line(
    client, close, part
):
    result, connection = client(b'one\ntwo\nthree\n')
    connection.sendall(STAMPED + receive_line(connection))
    receive_line(connection)
    connection.sendall(part)
    close(connection)
    assert_one_line_of_error(result.result(PATIENCE).stderr)
    if close is not close_with_reset:  # which takes back what is on its way
        assert result.result().stdout == STAMPED + b'one\n' + part
    assert result.result().returncode == 1


@pytest.mark.parametrize('close', [socket.socket.close, close_with_reset])
def test_a_connection_that_ends_before_a_message_is_an_error_of_one_line(listener, close):
    with start_client('tsTclnt.py', listener.getsockname()[1]) as process:
        connection, _ = listener.accept()
        process.stdin.write(b'one\n')
        connection.sendall(STAMPED + receive_line(connection))
        assert process.stdout.readline() == STAMPED + b'one\n'
        close(connection)
        output, errors = process.communicate(b'two\nthree\n', PATIENCE)
    assert_one_line_of_error(errors)
    assert (output, process.returncode) == (b'', 1)


def test_a_server_that_sends_without_end_cannot_fill_its_memory(listener):
    def peak_memory() -> int:
        status = Path(f'/proc/{process.pid}/status').read_text()  # see proc(5)
        return int(re.search(r'VmHWM:\s+(\d+)', status)[1])  # KiB

    port = listener.getsockname()[1]
    with start_client('tsTclnt.py', port, stdout=subprocess.DEVNULL) as process:
        connection, _ = listener.accept()
        connection.settimeout(PATIENCE)
        with connection:
            process.stdin.write(b'one\n')
            receive_line(connection)
            connection.sendall(b'x' * 2**16)
            memory_before = peak_memory()
            for _ in range(2**8):  # 16 MiB
                connection.sendall(b'x' * 2**16)
            connection.sendall(b'\n')
            process.stdin.write(b'two\n')
            receive_line(connection)  # it has read all that
            assert peak_memory() < memory_before + 2048
            process.kill()
