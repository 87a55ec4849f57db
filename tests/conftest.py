"""The fixtures: servers, clients and terminals that end with their test; sockets to play with."""

import io
import os
import shutil
import signal
import socket
import subprocess
import textwrap
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
        server.process.kill()
        server.process.wait()
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

        def start(client: str, port: int, data: bytes, **popen) -> subprocess.Popen:
            settings = dict.fromkeys(['stdin', 'stdout', 'stderr'], subprocess.PIPE)
            settings |= {'bufsize': 0, 'env': environment(folder)} | popen
            process = subprocess.Popen(command(folder, client, port), **settings)
            stack.enter_context(process)
            stack.callback(process.kill)
            process.stdin.write(data)
            return process

        yield start


@pytest.fixture
def terminal(folder):
    """Start a program on a terminal of its own, and wait until it shows a text: its prompt."""
    pexpect = pytest.importorskip('pexpect')
    with ExitStack() as stack:

        def start(script: str, port: int, *options: str, text: str = '> ', **spawn):
            python, *arguments = command(folder, script, port, *options)
            settings = {'timeout': helpers.PATIENCE, 'dimensions': (24, 200)}
            settings |= {'env': environment(folder, TERM='dumb', LC_ALL='C.UTF-8')} | spawn
            process = pexpect.spawn(python, arguments, **settings)
            stack.callback(process.close, force=True)
            process.logfile_read = io.BytesIO()
            process.expect_exact(text)
            return process

        yield start


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
        (site / 'sitecustomize.py').write_text(textwrap.dedent(code))
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
