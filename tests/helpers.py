"""What the tests share: running programs, the listings beside them, waits that have a bound."""

import os
import re
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LISTINGS = ROOT / 'tests/listings'

SERVERS = ['tsTserv.py', 'tsUserv.py']
CLIENTS = ['tsTclnt.py', 'tsUclnt.py']
WAITS = {'tsTserv.py': 'waiting for connection...', 'tsUserv.py': 'waiting for message...'}
CAME = {'tsTserv.py': '...connected from:', 'tsUserv.py': '...received from and returned to:'}

STAMP = rb'\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\]'
A_STAMP = b'[Sat Jun 17 17:27:21 2006]'  # for a test that plays the server

PATIENCE = 20  # seconds after which a wait has failed; conftest.py cuts it for a listing

# A test with one of these runs for both servers, or both pairs.
servers = pytest.mark.parametrize('script', SERVERS)
pairs = pytest.mark.parametrize(
    ('script', 'client'),
    [('tsTserv.py', 'tsTclnt.py'), ('tsUserv.py', 'tsUclnt.py')],
    ids=['TCP', 'UDP'],
)


def departure(row: str, seen: str):
    """Hold a test against the script, for which it must pass, and the listing, where it must fail.

    row is what the README calls the departure, in the heading of a fault or at the beginning
    of a row, and seen a pattern of what the test's failure then says. The test runs twice: its
    fixture `folder` is the folder of the scripts, then that of the listings. A failure of
    another kind is an error.
    """
    failure = pytest.RaisesExc(Exception, check=lambda why: re.search(seen, str(why)) is not None)
    must_fail = pytest.mark.xfail(strict=True, raises=failure, reason=row)
    folders = [ROOT, pytest.param(LISTINGS, marks=must_fail)]
    return pytest.mark.parametrize('folder', folders, ids=['script', 'listing'])


def wait_until(condition) -> None:
    """Return as soon as condition() is true; fail if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.01)


def free_port() -> int:
    """Return a port that is free at the moment, on TCP and on UDP."""
    while True:
        with (
            socket.create_server(('127.0.0.1', 0)) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return tcp.getsockname()[1]


# What stands before a script's name: as a developer runs it, each socket that is left open
# and any other warning is told.
PYTHON = [sys.executable, '-X', 'dev', '-W', 'error']


def command(folder: Path, script: str, port: int, *options: str, python=PYTHON) -> list[str]:
    """Return the words that run a program. A listing has its port in its text."""
    if folder == LISTINGS:
        text = (folder / script).read_text().replace('21567', str(port))
        return [sys.executable, '-c', text]

    return [*python, str(folder / script), '--port', str(port), *options]


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return the variables of this process and some more. A listing's output is made live."""
    if folder == LISTINGS:
        return os.environ | {'PYTHONUNBUFFERED': '1'} | variables
    return os.environ | variables


class Server:
    """A server that runs and serves, its output in two files: log and errors."""

    def __init__(self, tmp_path, folder, script, *options, python=PYTHON, **popen):
        self.script = script
        self.folder = folder
        self.python = python
        for _ in range(10):  # somebody else may take the port before the server does
            self.port = free_port()
            self.log_file = tmp_path / f'log-{self.port}'
            self.error_file = tmp_path / f'errors-{self.port}'
            self.start(*options, **popen)
            if not self.port_is_taken():
                return
            self.kill()
        raise AssertionError('no port stays free')

    def start(self, *options, **popen):
        """Start it, and wait until it serves or has failed."""
        words = command(self.folder, self.script, self.port, *options, python=self.python)
        with open(self.log_file, 'w') as log, open(self.error_file, 'w') as errors:
            settings = {'stdin': subprocess.DEVNULL, 'stdout': log, 'stderr': errors}
            settings |= {'env': environment(self.folder)} | popen
            self.process = subprocess.Popen(words, **settings)

        def serves() -> bool:
            if 'stdout' in popen:  # the test reads its log
                return self.answers()
            return WAITS[self.script] in self.log

        def has_failed() -> bool:
            return self.process.poll() is not None or self.port_is_taken()

        try:
            wait_until(lambda: serves() or has_failed())
        except BaseException:  # no test has it yet that would end it
            self.kill()
            raise

    def port_is_taken(self) -> bool:
        return 'Address already in use' in self.errors

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def errors(self) -> str:
        return self.error_file.read_text()

    def connect(self) -> socket.socket:
        """Return a new socket that is connected to it, on TCP or on UDP."""
        if self.script == 'tsTserv.py':
            return socket.create_connection(('127.0.0.1', self.port))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.connect(('127.0.0.1', self.port))
        return udp

    def ask(self, data: bytes) -> bytes:
        """Return its reply to data, which a new client sends; fail if none comes."""
        try:
            with self.connect() as client:
                client.send(data)
                reply = client.recv(65535)
        except OSError:
            reply = b''
        assert reply, f'no reply; {self.script} says: {self.errors}'
        return reply

    def answers(self) -> bool:
        """Return whether a new client has its reply within half a second."""
        try:
            with self.connect() as client:
                client.settimeout(0.5)
                client.send(b'still there?')
                # With its stamp: a client at the server's own port would hear itself.
                return re.match(STAMP, client.recv(1024)) is not None
        except OSError:
            return False

    def wait_for(self, text: str) -> None:
        """Wait until its log or its errors have text."""

        def said() -> bool:
            return text in self.log or text in self.errors

        wait_until(lambda: said() or self.process.poll() is not None)
        assert said(), f'it has ended: {self.errors}'

    def stop(self, signum: int) -> int:
        """Send it a signal while it waits, and return the status with which it ends."""
        return stop(self.process, signum)


def run(folder, script, port, data: bytes, *options, python=PYTHON, **popen):
    """Run a program with data as its standard input until it ends: a CompletedProcess."""
    words = command(folder, script, port, *options, python=python)
    settings = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'timeout': PATIENCE}
    settings |= {'env': environment(folder)} | popen
    return subprocess.run(words, input=data, **settings)


def unstamped(data: bytes) -> bytes:
    """Return data without the timestamps in it. Those of the listings end with a space."""
    return re.sub(STAMP + b' ?', b'', data)


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Send data on TCP, and return the reply when all of the data is back."""
    connection.sendall(data)
    reply = b''
    while unstamped(reply) != data:
        part = connection.recv(65536)
        assert part, 'the server has closed the connection'
        reply += part
    return reply


def reset(connection: socket.socket) -> None:
    """Close a TCP connection by a reset: SO_LINGER with 0 seconds, see socket(7)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.close()


def wait_for_sleep(pid: int) -> None:
    """Wait until a process and its children wait in a system call. (Takes Linux.)

    A signal in the moment before would be noticed only when the call returns.
    """
    children = Path(f'/proc/{pid}/task/{pid}/children')
    if not children.exists():
        return

    for each in [str(pid), *children.read_text().split()]:
        stat = Path(f'/proc/{each}/stat')
        wait_until(lambda stat=stat: stat.read_text().rpartition(')')[2].split()[0] == 'S')


def stop(process: subprocess.Popen, signum: int) -> int:
    """Send a program a signal while it waits, and return the status with which it ends."""
    wait_for_sleep(process.pid)
    process.send_signal(signum)
    return process.wait(PATIENCE)


def press_ctrl_c(terminal) -> None:
    """Press it on a terminal, while the program there, or the one in its shell, waits."""
    wait_for_sleep(terminal.pid)
    terminal.sendintr()


def read_line(process: subprocess.Popen) -> bytes:
    """Return the next line that a client in pipes prints; fail if none comes."""
    readable, _, _ = select.select([process.stdout], [], [], PATIENCE)
    assert readable, 'waited in vain'
    return process.stdout.readline()


def failing(call: str, first: int, last: int) -> str:
    """Return code for before_script(): from the first to the last call, a method fails.

    call is the name of a method of sockets. The calls before and after do what they did.
    """
    return f"""
import errno, socket

real = socket.socket.{call}
calls = []

def {call}(self, *args):
    calls.append(args)
    if {first} <= len(calls) <= {last}:
        raise OSError(errno.ECONNRESET, 'Forced to fail')
    return real(self, *args)

socket.socket.{call} = {call}
"""
