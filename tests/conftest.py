"""The fixtures: servers, clients and terminals that end with their test; sockets to play with."""

import io
import os
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack

import helpers
import pytest
from helpers import LISTINGS, ROOT, Server, command, environment

# A shell starts its background jobs with SIGINT ignored, and they hand that down.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What a machine has set is not to decide what the programs print, nor its ~/.inputrc.
for name in list(os.environ):
    if name.startswith(('COLUMNS', 'FORCE_COLOR', 'LANG', 'LC_', 'PYTHON')):
        del os.environ[name]
os.environ['INPUTRC'] = os.devnull
os.environ['RES_OPTIONS'] = 'timeout:1 attempts:1'  # of a silent name server: resolv.conf(5)


@pytest.fixture
def folder():
    """The folder of the programs under test. departure() puts that of the listings here, too."""
    return ROOT


@pytest.fixture(autouse=True)
def patience(folder, monkeypatch):
    """The longest wait, also of each socket. For a listing most waits are in vain."""
    if folder == LISTINGS:
        monkeypatch.setattr(helpers, 'PATIENCE', 5)
    socket.setdefaulttimeout(helpers.PATIENCE)


@pytest.fixture
def serve(tmp_path, folder):
    """Start a server on a port that is free: serve('tsTserv.py', '--threads')."""
    started = []

    def start(script: str, *options: str, folder=folder, **popen) -> Server:
        server = Server(tmp_path, folder, script, *options, **popen)
        started.append(server)
        return server

    yield start

    for server in started:
        server.kill()
    for server in started:
        if server.folder == ROOT:
            assert 'Traceback' not in server.errors


@pytest.fixture
def tcp_server(serve):
    return serve('tsTserv.py')


@pytest.fixture
def udp_server(serve):
    return serve('tsUserv.py')


@pytest.fixture
def start_client(folder):
    """Start a client in pipes, to enter some lines and read what it prints while it runs."""
    with ExitStack() as stack:

        def start(client: str, port: int, data: bytes) -> subprocess.Popen:
            process = subprocess.Popen(
                command(folder, client, port),
                bufsize=0,
                env=environment(folder),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            process.stdin.write(data)
            return process

        yield start


def hang_up_as_usual() -> None:
    """Let a program end with its terminal. Under nohup it would not."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def spawn(folder):
    """Start a program, given as the words of its command, on a terminal of its own."""
    pexpect = pytest.importorskip('pexpect')
    with ExitStack() as stack:

        def start(words: list[str], cwd=None):
            process = pexpect.spawn(
                words[0],
                words[1:],
                cwd=cwd,
                env=environment(folder, TERM='dumb', LC_ALL='C.UTF-8'),
                timeout=helpers.PATIENCE,
                dimensions=(24, 200),
                preexec_fn=hang_up_as_usual,
            )
            stack.callback(process.close, force=True)
            process.logfile_read = io.BytesIO()
            return process

        yield start


@pytest.fixture
def terminal(folder, spawn):
    """Start a program on a terminal, and wait until it shows a text: its prompt."""

    def start(script: str, port: int, text: str = '> '):
        process = spawn(command(folder, script, port))
        process.expect_exact(text)
        return process

    return start


@pytest.fixture
def in_shell(spawn):
    """Run a line of sh on a terminal. Ctrl-C ends its commands, and the shell goes on."""
    return lambda line: spawn(['/bin/sh', '-c', f'trap : INT; {line}'])


@pytest.fixture
def listener():
    """A listening TCP socket, for a test to play the server."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        yield listener


@pytest.fixture
def udp_peer():
    """A UDP socket on 127.0.0.1, for a test to play the server or a client."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(('127.0.0.1', 0))
        yield peer


@pytest.fixture
def before_script(tmp_path, folder):
    """Give an environment in which each Python runs some code before its script."""

    def environment_with(code: str) -> dict[str, str]:
        site = tmp_path / 'site'
        site.mkdir()
        (site / 'sitecustomize.py').write_text(code)
        return environment(folder, PYTHONPATH=str(site))

    return environment_with


@pytest.fixture
def edited(tmp_path):
    """Give a copy of the scripts in which one text is replaced by another."""

    def copy(old: str, new: str):
        copies = tmp_path / f'edited-{len(list(tmp_path.iterdir()))}'
        copies.mkdir()
        for path in ROOT.glob('*.py'):
            shutil.copy(path, copies)
        files = [path for path in copies.iterdir() if old in path.read_text()]
        assert files, f'no script has {old}'
        for path in files:
            path.write_text(path.read_text().replace(old, new))
        return copies

    return copy
