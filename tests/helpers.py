"""What the tests share: the programs as processes, and waits that all have a bound."""

import re
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).parent.parent
LISTINGS = ROOT / 'tests/listings'
SERVERS, CLIENTS = ['tsTserv.py', 'tsUserv.py'], ['tsTclnt.py', 'tsUclnt.py']
PAIRS = list(zip(SERVERS, CLIENTS, strict=True))
servers = pytest.mark.parametrize('script', SERVERS)
pairs = pytest.mark.parametrize(('script', 'client'), PAIRS, ids=['TCP', 'UDP'])
signals = pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
STAMP = rb'\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\]'
STAMPED = b'[Sat Jun 17 17:27:21 2006]'  # what a test that plays the server sends
WAITS = {'tsTserv.py': 'waiting for connection...', 'tsUserv.py': 'waiting for message...'}
CAME = {'tsTserv.py': '...connected from: ', 'tsUserv.py': '...received from and returned to: '}
PATIENCE = 20  # seconds after which a wait has failed; helpers.PATIENCE is 4 for a listing
socket.setdefaulttimeout(PATIENCE)  # of every socket here


def command(script, port, *options, root=ROOT) -> list[str]:
    """Return the words that run a program; any warning is an error of the test."""
    if root == LISTINGS:  # the port and the host stand in its text
        text = (root / script).read_text().replace('PORT = 21567', f'PORT = {port}')
        if '--host' in options:
            text = re.sub('HOST = .*', f'HOST = {options[-1]!r}', text)
        return [sys.executable, '-c', text]
    words = [sys.executable, '-X', 'dev', '-W', 'error', str(root / script)]
    return [*words, '--port', str(port), *options]


def wait_until(condition) -> None:
    """Return as soon as condition() is true; fail if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.01)


def ports():
    """Yield ports that are free at the moment, until one stays so; fail if none does."""
    for _ in range(20):
        with socket.create_server(('127.0.0.1', 0)) as probe:
            port = probe.getsockname()[1]
        yield port
    raise AssertionError('no port stays free')


class Server:
    """A server as a process, with its outputs in files; ready(server) tells when it serves."""

    ends = 0, ''  # status and errors that serve() expects

    def __init__(self, folder, script, *options, root=ROOT, ready=lambda self: self.log, **popen):
        self.folder, self.script, self.options, self.root = folder, script, options, root
        self.ready, self.popen = ready, popen
        any(map(self.start, ports()))  # up to the first that is not taken

    def start(self, port: int):
        """Start it until it serves; None where the port is taken or it ends without a word."""
        self.port = port
        self.out, self.err = (self.folder / f'{self.script}-{port}.{n}' for n in (1, 2))
        words = command(self.script, port, *self.options, root=self.root)
        with open(self.out, 'wb') as out, open(self.err, 'wb') as err:
            popen = {'stdin': subprocess.DEVNULL, 'stdout': out, 'stderr': err}
            self.process = subprocess.Popen(words, **popen | self.popen)
        try:
            wait_until(lambda: self.ready(self) or self.process.poll() is not None)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise
        return None if self.process.poll() and re.search('already in use|^$', self.errors) else self

    log = property(lambda self: self.out.read_text(errors='replace'))
    errors = property(lambda self: self.err.read_text())

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until its log has text, that often."""
        wait_until(lambda: self.log.count(text) >= times)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send it a signal and return the status with which it ends."""
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE)

    def connect(self) -> socket.socket:
        """Return a new socket that is connected to it, also on UDP."""
        if self.script == 'tsTserv.py':
            return socket.create_connection(('127.0.0.1', self.port))
        udp = udp_socket()
        udp.connect(('127.0.0.1', self.port))
        return udp

    def answers(self, patience: float = 0.5) -> bool:
        """Return whether a new client has its reply within this time, in seconds."""
        with suppress(OSError), self.connect() as client:
            client.settimeout(patience)
            client.send(b'still there?')
            # A stamp, as a client that has the server's own port would hear itself.
            return re.fullmatch(STAMP + rb' ?still there\?', client.recv(1024)) is not None
        return False


def run(script, port, data, *options, root=ROOT, **popen) -> subprocess.CompletedProcess:
    """Run a program on data as its standard input, until it ends by itself."""
    popen = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'timeout': PATIENCE} | popen
    return subprocess.run(command(script, port, *options, root=root), input=data, **popen)


def replies(result: subprocess.CompletedProcess) -> bytes:
    """Return what a client wrote, without the timestamps, if it had no trouble."""
    assert (result.stderr, result.returncode) == (b'', 0)
    return unstamped(result.stdout)


def screen(process: pexpect.spawn) -> str:
    """Wait for the end of a program on a terminal; return all that it has shown."""
    process.expect(pexpect.EOF)
    process.close()
    return process.logfile_read.getvalue().decode().replace('\r\n', '\n')


def udp_socket() -> socket.socket:
    """Return a UDP socket on 127.0.0.1, at a port that the system chose."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(('127.0.0.1', 0))
    return udp


def unstamped(data: bytes) -> bytes:
    """Return data without the timestamps in it, of scripts and of listings."""
    return re.sub(STAMP + b' ?', b'', data)


def close_with_reset(connection: socket.socket) -> None:
    """Close a TCP connection by a reset: SO_LINGER with 0 seconds, see socket(7)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.close()
