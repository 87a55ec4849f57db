"""What the servers print, where it is not a terminal that they print it on."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios

import pytest
from helpers import PAIRS, PATIENCE, command, free_port, run, wait_until

FIRST_LINES = {
    'tsTserv.py': ['waiting for connection...', '...connected from: (', 'waiting for'],
    'tsUserv.py': ['waiting for message...', '...received from and returned to: ('],
}
pairs = pytest.mark.parametrize(('script', 'client'), PAIRS, ids=['TCP', 'UDP'])


@pytest.fixture
def start():
    """Start a server script on any standard output; the Popen has its port, too."""
    processes = []

    def start(script: str, **popen) -> subprocess.Popen:
        port = free_port()
        words = command(script, port)
        process = subprocess.Popen(words, text=True, stderr=subprocess.PIPE, **popen)
        process.port = port
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate(timeout=PATIENCE)


def assert_it_ends_well(process: subprocess.Popen) -> None:
    """Check that Ctrl-C ends it with status 0 and nothing on standard error."""
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    assert process.stderr.read() == ''


def assert_it_goes_on(process: subprocess.Popen, client: str) -> None:
    """Check that clients are answered, once the server is up, and that it ends well."""
    for _ in range(3):
        wait_until(lambda: run(client, process.port, b'hi\n').returncode == 0)
    assert_it_ends_well(process)


@pairs
def test_it_is_live_in_a_pipe(start, script, client):
    server = start(script, stdout=subprocess.PIPE)
    assert server.stdout.readline().startswith(FIRST_LINES[script][0])
    run(client, server.port, b'hi\n')
    for line in FIRST_LINES[script][1:]:
        assert server.stdout.readline().startswith(line)
    assert_it_ends_well(server)


@pairs
def test_when_its_reader_has_gone_the_server_goes_on(start, script, client):
    server = start(script, stdout=subprocess.PIPE)
    server.stdout.readline()
    server.stdout.close()  # as `tsTserv.py | head -1` does
    assert_it_goes_on(server, client)


@pairs
def test_when_the_disk_is_full_the_server_goes_on(start, script, client):
    with open('/dev/full', 'wb') as full:
        server = start(script, stdout=full)
    assert_it_goes_on(server, client)


@pairs
def test_with_input_and_output_closed_the_server_goes_on(start, script, client):
    server = start(script, preexec_fn=lambda: os.closerange(0, 2))
    assert_it_goes_on(server, client)


@pairs
def test_when_its_reader_does_not_read_ctrl_c_ends_the_server_all_the_same(
    start, script, client
):
    read_end, write_end = os.pipe()
    size = fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    server = start(script, stdout=write_end)
    os.close(write_end)

    def full() -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            run(client, server.port, b'hi\n' * 20, timeout=1)
        unread = fcntl.ioctl(read_end, termios.FIONREAD, bytes(4))
        return int.from_bytes(unread, sys.byteorder) > size - 100

    wait_until(full)
    assert_it_ends_well(server)
    os.close(read_end)
