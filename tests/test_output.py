"""What the servers print, where it is not a terminal that they print it on."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import termios

import pytest
from helpers import PAIRS, PATIENCE, ROOT, Server, run, udp_socket, wait_until

FIRST_LINES = {
    'tsTserv.py': ['waiting for connection...', '...connected from: (', 'waiting for'],
    'tsUserv.py': ['waiting for message...', '...received from and returned to: ('],
}
pairs = pytest.mark.parametrize(('script', 'client'), PAIRS, ids=['TCP', 'UDP'])


def answers(server: Server, client: str) -> bool:
    """Return whether a client is answered."""
    return run(client, server.port, b'hi\n').returncode == 0


def assert_it_goes_on(server: Server, client: str) -> None:
    """Check that clients are answered; the fixture checks that the server ends well."""
    for _ in range(3):
        assert answers(server, client)


@pairs
def test_it_is_live_in_a_pipe(serve, script, client):
    server = serve(script, stdout=subprocess.PIPE, ready=first_line)
    run(client, server.port, b'hi\n')
    with server.process.stdout as log:
        for line in FIRST_LINES[script][1:]:
            assert log.readline().decode().startswith(line)


def first_line(server: Server) -> bytes:
    """Return the first line that a server prints into a pipe."""
    return server.process.stdout.readline()


@pairs
def test_when_its_reader_has_gone_the_server_goes_on(serve, script, client):
    server = serve(script, stdout=subprocess.PIPE, ready=first_line)
    server.process.stdout.close()  # as `tsTserv.py | head -1` does
    assert_it_goes_on(server, client)


@pairs
def test_when_the_disk_is_full_the_server_goes_on(serve, script, client):
    with open('/dev/full', 'wb') as full:
        server = serve(
            script, stdout=full, ready=lambda server: answers(server, client)
        )
    assert_it_goes_on(server, client)


@pairs
def test_with_all_standard_streams_closed_the_server_goes_on(serve, script, client):
    server = serve(
        script,
        preexec_fn=lambda: os.closerange(0, 3),
        ready=lambda server: answers(server, client),
    )
    assert_it_goes_on(server, client)
    for fd in 0, 1, 2:  # and no socket has taken their place
        assert os.readlink(f'/proc/{server.process.pid}/fd/{fd}') == os.devnull


WRITES = {
    'tsTserv.py': [['waiting'], ['...connected'], ['waiting']],
    'tsUserv.py': [['waiting'], ['...received', 'waiting']],
}


@pairs
def test_no_line_of_the_log_is_written_in_two_parts(serve, script, client):
    log, output = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.settimeout(PATIENCE)
    with log, output:  # in which a write is a datagram
        serve(script, stdout=output, ready=lambda server: answers(server, client))
        for lines in WRITES[script]:
            *written, end = log.recv(65535).decode().split('\n')
            assert end == ''
            assert len(written) == len(lines)
            assert all(map(str.startswith, written, lines))


@pairs
def test_when_its_reader_does_not_read_ctrl_c_ends_the_server_all_the_same(
    serve, script, client
):
    read_end, write_end = os.pipe()
    size = fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    server = serve(
        script, stdout=write_end, ready=lambda server: answers(server, client)
    )
    os.close(write_end)

    def full() -> bool:
        for _ in range(20):
            send_something(script, server)
        unread = fcntl.ioctl(read_end, termios.FIONREAD, bytes(4))
        return int.from_bytes(unread, sys.byteorder) > size - 100

    wait_until(full)
    assert server.stop(signal.SIGINT) == 0
    os.close(read_end)


def send_something(script: str, server: Server) -> None:
    """Be a client that makes a server print a line or two."""
    if script == 'tsTserv.py':
        server.connect().close()
    else:
        with udp_socket() as client:
            client.sendto(b'hi', ('127.0.0.1', server.port))


@pairs
def test_what_a_reader_prints_with_print_is_not_lost_at_the_end(
    tmp_path, script, client
):
    for path in ROOT.glob('*.py'):
        text = path.read_text()
        (tmp_path / path.name).write_text(
            re.sub(r'( *)(data.* = .*recv.*\n)', r'\1\2\1print(data)\n', text)
        )
    buffered = {k: v for k, v in os.environ.items() if k != 'PYTHONUNBUFFERED'}
    server = Server(tmp_path, script, root=tmp_path, env=buffered)
    run(client, server.port, b'hi\n')
    assert server.stop() == 0
    assert "b'hi" in server.log
