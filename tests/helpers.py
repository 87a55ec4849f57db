"""What the tests share: the scripts as processes, and waits that all have a bound."""

import contextlib
import io
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pexpect
import pytest

ROOT = Path(__file__).parent.parent
LISTINGS = ROOT / 'tests/listings'
PYTHON = [sys.executable, '-X', 'dev', '-W', 'error']  # any warning fails the test
PATIENCE = 20  # seconds after which a wait, for whatever it is, has failed
STAMP = rb'\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\]'
STAMPED = b'[Sat Jun 17 17:27:21 2006]'  # what a test that plays the server sends
EVERY_BYTE = bytes(range(256))
ANY_BYTES = [EVERY_BYTE, EVERY_BYTE[::-1], b'\0', b'\n', b'\r\n', b'\xff\xfe', b'%s']
SERVERS = ['tsTserv.py', 'tsUserv.py']
CLIENTS = ['tsTclnt.py', 'tsUclnt.py']
PAIRS = list(zip(SERVERS, CLIENTS, strict=True))


def has_ipv6() -> bool:
    """Return whether this machine has the address ::1."""
    try:
        socket.create_server(('::1', 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason='this machine has no IPv6')


Started = TypeVar('Started')


def free_port() -> int:
    """Return a port that the system has just given, and that nobody listens on."""
    with socket.create_server(('127.0.0.1', 0)) as probe:
        return probe.getsockname()[1]


def command(script: str, port: int, *options: str, root: Path = ROOT) -> list[str]:
    """Return the words of the command that runs a script.

    A listing has its port in its text; -u makes its log live.
    """
    if root == LISTINGS:
        text = (root / script).read_text()
        text = text.replace('PORT = 21567', f'PORT = {port}')
        return [sys.executable, '-u', '-c', text]
    return [*PYTHON, str(root / script), '--port', str(port), *options]


def deaf_port(kind: socket.SocketKind) -> socket.socket:
    """Return a socket that keeps a port of 127.0.0.1 and never answers there."""
    deaf = socket.socket(socket.AF_INET, kind)
    deaf.bind(('127.0.0.1', 0))
    return deaf


def udp_socket() -> socket.socket:
    """Return a UDP socket on 127.0.0.1, at a port that the system chose."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.settimeout(PATIENCE)
    udp.bind(('127.0.0.1', 0))
    return udp


def wait_until(condition: Callable[[], object]) -> None:
    """Return as soon as condition() is true; fail if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.01)


def in_parts(data: bytes, size: int) -> list[bytes]:
    """Return data in parts of a size, the last one perhaps shorter."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def unstamped(data: bytes) -> bytes:
    """Return data without the timestamps in it."""
    return re.sub(STAMP, b'', data)


def on_a_free_port(start: Callable[[int], Started | None]) -> Started:
    """Return start(port) with a port that the system chose, and that was still free.

    Another process may take the port meanwhile: start() then returns None.
    """
    for _ in range(20):
        started = start(free_port())
        if started is not None:
            return started
    raise AssertionError('no port stays free')


class Server:
    """A server script as a process; its two outputs go to files in folder.

    ready(server) tells when it serves: by default, as soon as it has printed a line.
    """

    def __init__(
        self,
        folder: Path,
        script: str,
        *options: str,
        root: Path = ROOT,
        ready: Callable[['Server'], object] = lambda server: server.log,
        **popen,
    ):
        self.folder, self.script, self.options = folder, script, options
        self.root, self.ready, self.popen = root, ready, popen
        on_a_free_port(self.start)

    def start(self, port: int) -> 'Server | None':
        """Start the process and wait until it serves; None where the port is taken."""
        self.port = port
        self.out = self.folder / f'{self.script}-{port}.out'
        self.err = self.folder / f'{self.script}-{port}.err'
        words = command(self.script, port, *self.options, root=self.root)
        with open(self.out, 'wb') as out, open(self.err, 'wb') as err:
            popen = {'stdin': subprocess.DEVNULL, 'stdout': out, 'stderr': err}
            self.process = subprocess.Popen(words, **popen | self.popen)
        wait_until(lambda: self.ready(self) or self.process.poll() is not None)
        return None if 'Address already in use' in self.errors else self

    def restart(self) -> bool:
        """Start it again on the same port; return False where the port is taken."""
        return self.start(self.port) is not None

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self.out.read_text()

    @property
    def errors(self) -> str:
        """What it has printed on standard error so far."""
        return self.err.read_text()

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has printed text, that often."""
        wait_until(lambda: self.log.count(text) >= times)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send it a signal and return the status with which it ends."""
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE)

    def connect(self) -> socket.socket:
        """Return a new TCP connection to it."""
        return socket.create_connection(('127.0.0.1', self.port), timeout=PATIENCE)


def run(script: str, port: int, data: bytes, *options: str, root: Path = ROOT, **popen):
    """Run a client on data as its standard input and return the CompletedProcess."""
    popen = {'capture_output': True, 'timeout': PATIENCE} | popen
    return subprocess.run(
        command(script, port, *options, root=root), input=data, **popen
    )


def start_client(
    script: str, port: int, root: Path = ROOT, **popen
) -> subprocess.Popen:
    """Start a client on pipes, to talk with it line by line."""
    pipes = dict.fromkeys(['stdin', 'stdout', 'stderr'], subprocess.PIPE)
    words = command(script, port, root=root)
    return subprocess.Popen(words, bufsize=0, **pipes | popen)


def peak_memory(process: subprocess.Popen) -> int:
    """Return the most memory that a process has had so far, in KiB: see proc(5)."""
    status = Path(f'/proc/{process.pid}/status').read_text()
    return int(re.search(r'VmHWM:\s+(\d+)', status)[1])


def terminal(script: str, port: int, root: Path = ROOT, **spawn) -> pexpect.spawn:
    """Run a script on a pseudo-terminal of its own, for a person to type at."""
    python, *arguments = command(script, port, root=root)
    environment = os.environ | {'TERM': 'dumb', 'LC_ALL': 'C.UTF-8'}
    spawn = {'timeout': PATIENCE, 'dimensions': (24, 200), 'env': environment} | spawn
    process = pexpect.spawn(python, arguments, **spawn)
    process.logfile_read = io.BytesIO()
    process.port = port
    return process


def server_terminal(script: str) -> pexpect.spawn:
    """Run a server script on a pseudo-terminal; it serves at its .port."""

    def start(port: int) -> pexpect.spawn | None:
        process = terminal(script, port)
        taken = process.expect_exact(['waiting for', 'Address already in use'])
        return None if taken else process

    return on_a_free_port(start)


def screen(process: pexpect.spawn) -> str:
    """Wait for the end of a terminal()'s script and return all that it has shown."""
    process.expect(pexpect.EOF)
    process.close()
    return process.logfile_read.getvalue().decode().replace('\r\n', '\n')


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Send data on TCP and return the reply once all of the data is back."""
    connection.sendall(data)
    reply = b''
    while unstamped(reply) != data:
        part = connection.recv(65536)
        assert part, 'the server has closed the connection'
        reply += part
    return reply


def read_all(connection: socket.socket) -> bytes:
    """Return what comes on a TCP connection up to its end."""
    data = b''
    while part := connection.recv(65536):
        data += part
    return data


def send_until_blocked(connection: socket.socket) -> None:
    """Send on TCP, and read no reply, until the other side takes no more."""
    connection.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while True:
            connection.sendall(b'x' * 65536)


def close_with_reset(connection: socket.socket) -> None:
    """Close a TCP connection by a reset: SO_LINGER with 0 seconds, see socket(7)."""
    linger = struct.pack('ii', 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()
