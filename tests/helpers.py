"""What the tests share: the programs as processes, and waits that all have a bound."""

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
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).parent.parent
LISTINGS = ROOT / 'tests/listings'
SERVERS = ['tsTserv.py', 'tsUserv.py']
CLIENTS = ['tsTclnt.py', 'tsUclnt.py']
PAIRS = list(zip(SERVERS, CLIENTS, strict=True))
pairs = pytest.mark.parametrize(('script', 'client'), PAIRS, ids=['TCP', 'UDP'])
SIGNALS = [signal.SIGINT, signal.SIGTERM]
signals = pytest.mark.parametrize('signum', SIGNALS, ids=['SIGINT', 'SIGTERM'])
PATIENCE = 20  # seconds after which a wait, for whatever it is, has failed
STAMP = rb'\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\]'
ANY_BYTES = [bytes(range(256)), bytes(range(255, -1, -1)), b'\0', b'\r\n', b'\xff\xfe', b'%s']
STAMPED = b'[Sat Jun 17 17:27:21 2006]'  # what a test that plays the server sends


def command(script, port, *options, root=ROOT) -> list[str]:
    """Return the words that run a program; any warning is an error of the test.

    A listing has its host and port in its text.
    """
    if root == LISTINGS:
        text = (root / script).read_text().replace('PORT = 21567', f'PORT = {port}')
        if '--host' in options:
            text = re.sub('HOST = .*', f'HOST = {options[-1]!r}', text)
        return [sys.executable, '-c', text]
    words = [sys.executable, '-X', 'dev', '-W', 'error', root / script]
    return [str(word) for word in (*words, '--port', port, *options)]


def live(root) -> dict[str, str]:
    """Return the environment of a program, in which a listing's output is live, too."""
    return os.environ | ({'PYTHONUNBUFFERED': '1'} if root == LISTINGS else {})


def wait_until(condition) -> None:
    """Return as soon as condition() is true; fail if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.01)


def on_a_free_port(start):
    """Return start(port) for a port that the system chose; None says it was taken."""
    for _ in range(20):
        with socket.create_server(('127.0.0.1', 0)) as probe:
            port = probe.getsockname()[1]
        if (started := start(port)) is not None:
            return started
    raise AssertionError('no port stays free')


class Server:
    """A server as a process; its two outputs go to files in folder.

    ready(server) tells when it serves: by default, as soon as it has printed a line.
    """

    def __init__(self, folder, script, *options, root=ROOT, ready=None, **popen):
        self.folder, self.script, self.options, self.root = (folder, script, options, root)
        self.ready, self.popen = ready or (lambda server: server.log), popen
        on_a_free_port(self.start)

    def start(self, port: int):
        """Start the process and wait until it serves; None where the port is taken."""
        self.port = port
        self.out, self.err = (self.folder / f'{self.script}-{port}.{n}' for n in (1, 2))
        words = command(self.script, port, *self.options, root=self.root)
        with open(self.out, 'wb') as out, open(self.err, 'wb') as err:
            popen = {'stdin': subprocess.DEVNULL, 'stdout': out, 'stderr': err}
            popen['env'] = live(self.root)
            self.process = subprocess.Popen(words, **popen | self.popen)
        try:
            wait_until(lambda: self.ready(self) or self.process.poll() is not None)
        except BaseException:
            self.kill()
            raise
        return None if 'Address already in use' in self.errors else self

    log = property(lambda self: self.out.read_text(errors='replace'))
    errors = property(lambda self: self.err.read_text())

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until its log has text, that often."""
        wait_until(lambda: self.log.count(text) >= times)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send it a signal and return the status with which it ends."""
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it whatever it does."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def connect(self) -> socket.socket:
        """Return a new TCP connection to it."""
        return socket.create_connection(('127.0.0.1', self.port), timeout=PATIENCE)


def run(script, port, data, *options, root=ROOT, **popen):
    """Run a client on data as its standard input and return the CompletedProcess."""
    popen = {'capture_output': True, 'timeout': PATIENCE} | popen
    words = command(script, port, *options, root=root)
    return subprocess.run(words, input=data, **popen)


def start_client(script, port, root=ROOT, **popen) -> subprocess.Popen:
    """Start a client on pipes, to talk with it line by line."""
    pipes = dict.fromkeys(['stdin', 'stdout', 'stderr'], subprocess.PIPE)
    popen = pipes | {'env': live(root), 'bufsize': 0} | popen
    return subprocess.Popen(command(script, port, root=root), **popen)


def terminal(script, port, root=ROOT, **spawn) -> pexpect.spawn:
    """Run a program on a pseudo-terminal of its own, for a person to type at."""
    python, *arguments = command(script, port, root=root)
    environment = os.environ | {'TERM': 'dumb', 'LC_ALL': 'C.UTF-8'}
    spawn = {'timeout': PATIENCE, 'dimensions': (24, 200), 'env': environment} | spawn
    process = pexpect.spawn(python, arguments, **spawn)
    process.logfile_read, process.port = io.BytesIO(), port
    return process


def prompted(script, port, **spawn) -> pexpect.spawn:
    """Run a client on a pseudo-terminal and wait for its prompt."""
    client = terminal(script, port, **spawn)
    client.expect_exact('> ')
    return client


def screen(process: pexpect.spawn) -> str:
    """Wait for the end of a terminal()'s program and return all that it has shown."""
    process.expect(pexpect.EOF)
    process.close()
    return process.logfile_read.getvalue().decode().replace('\r\n', '\n')


def udp_socket() -> socket.socket:
    """Return a UDP socket on 127.0.0.1, at a port that the system chose."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.settimeout(PATIENCE)
    udp.bind(('127.0.0.1', 0))
    return udp


def unstamped(data: bytes) -> bytes:
    """Return data without the timestamps in it, of scripts and of listings."""
    return re.sub(STAMP + b' ?', b'', data)


def send_until_blocked(client: socket.socket) -> int:
    """Send x's, and read no reply, until neither side takes any more; return how many."""
    client.settimeout(0.2)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while True:
            sent += client.send(b'x' * 65536)
    client.settimeout(PATIENCE)
    return sent


def close_with_reset(connection: socket.socket) -> None:
    """Close a TCP connection by a reset: SO_LINGER with 0 seconds, see socket(7)."""
    linger = struct.pack('ii', 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()
