"""What tsTclnt.py keeps to, whatever the network and the server do."""

import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import PATIENCE, STAMPED, close_with_reset, peak_memory, run, start_client


@pytest.fixture
def listener():
    """A listening socket, for a test to be the server."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


@pytest.fixture
def client(listener):
    """Start the client on some input; gives its future result and the connection."""
    with ThreadPoolExecutor(1) as pool:

        def start(data: bytes):
            port = listener.getsockname()[1]
            result = pool.submit(run, 'tsTclnt.py', port, data)
            connection, _ = listener.accept()
            connection.settimeout(PATIENCE)
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


def test_it_ends_each_message_with_a_newline(client):
    result, connection = client(b'one\ntwo')
    with connection:
        for line in b'one\n', b'two\n':
            assert connection.recv(1024) == line
            connection.sendall(STAMPED + line)
        assert connection.recv(1024) == b''
    assert_output(result, STAMPED + b'one\n' + STAMPED + b'two\n')


def test_it_has_one_message_in_flight_at_a_time(client):
    result, connection = client(b'x' * 5000 + b'\n')
    received = b''
    with connection:
        while len(received) < 5000:
            message = receive_line(connection)
            received += message.removesuffix(b'\n')
            connection.settimeout(0.1)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(PATIENCE)
            connection.sendall(STAMPED + message)
    assert received == b'x' * 5000
    assert result.result(PATIENCE).returncode == 0


def test_a_reply_that_arrives_a_byte_at_a_time_leaves_it_in_step(client):
    result, connection = client(b'one\ntwo\n')
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        for _ in range(2):
            for byte in STAMPED + receive_line(connection):
                connection.sendall(bytes([byte]))
    assert_output(result, STAMPED + b'one\n' + STAMPED + b'two\n')


def test_replies_that_arrive_in_one_piece_leave_it_in_step(client):
    result, connection = client(b'one\ntwo\nthree\n')
    with connection:
        receive_line(connection)
        connection.sendall(STAMPED + b'one\n' + STAMPED + b'two\n' + STAMPED + b'thr')
        receive_line(connection)
        receive_line(connection)
        connection.sendall(b'ee\n')
    assert_output(
        result, b''.join(STAMPED + line for line in (b'one\n', b'two\n', b'three\n'))
    )


def test_a_message_that_the_network_cut_in_two_leaves_it_in_step(client):
    result, connection = client(b'onetwo\nthree\n')
    with connection:
        assert receive_line(connection) == b'onetwo\n'
        connection.sendall(STAMPED + b'one')  # as the server would return the two parts
        connection.sendall(STAMPED + b'two\n')
        assert receive_line(connection) == b'three\n'
        connection.sendall(STAMPED + b'three\n')
    assert_output(result, STAMPED + b'one' + STAMPED + b'two\n' + STAMPED + b'three\n')


# Servers that go away or do not stop


def assert_one_line_of_error(errors: bytes) -> None:
    """Check that the client said on one line why it has ended."""
    reasons = 'the server has quit|Connection reset by peer|Broken pipe'
    expected = rf'tsTclnt\.py: localhost port \d+: ({reasons})\n'
    assert re.fullmatch(expected, errors.decode())


@pytest.mark.parametrize('close', [socket.socket.close, close_with_reset])
def test_a_server_that_goes_away_before_its_reply_is_an_error_of_one_line(
    client, close
):
    result, connection = client(b'one\ntwo\nthree\n')
    connection.sendall(STAMPED + receive_line(connection))
    receive_line(connection)
    close(connection)
    assert_one_line_of_error(result.result(PATIENCE).stderr)
    assert result.result().stdout == STAMPED + b'one\n'
    assert result.result().returncode == 1


@pytest.mark.parametrize('close', [socket.socket.close, close_with_reset])
def test_a_server_that_goes_away_in_mid_reply_is_an_error_of_one_line(client, close):
    result, connection = client(b'one\ntwo\n')
    receive_line(connection)
    connection.sendall(STAMPED + b'on')
    close(connection)
    assert_one_line_of_error(result.result(PATIENCE).stderr)
    assert result.result().returncode == 1


@pytest.mark.parametrize('close', [socket.socket.close, close_with_reset])
def test_a_server_that_goes_away_before_a_message_is_an_error_of_one_line(
    listener, close
):
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
    port = listener.getsockname()[1]
    with start_client('tsTclnt.py', port, stdout=subprocess.DEVNULL) as process:
        connection, _ = listener.accept()
        with connection:
            process.stdin.write(b'one\n')
            receive_line(connection)
            connection.sendall(b'x' * 2**16)
            memory_before = peak_memory(process)
            for _ in range(2**9):  # 32 MiB
                connection.sendall(b'x' * 2**16)
            assert peak_memory(process) < memory_before + 2048
            connection.sendall(b'\n')
            process.stdin.write(b'two\n')
            receive_line(connection)  # it has read all that
            assert peak_memory(process) < memory_before + 2048
            process.kill()
