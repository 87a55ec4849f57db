"""Fixtures: the server scripts, running, and a network to be switched off."""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import textwrap
import types

import pytest
from helpers import LISTINGS, PAIRS, PATIENCE, Server

# A shell starts its background jobs with SIGINT ignored, and they hand that down.
signal.signal(signal.SIGINT, signal.default_int_handler)

CLONE_NEWNET = 0x40000000  # unshare(2)
SIOCSIFFLAGS = 0x8914  # netdevice(7)


@pytest.fixture
def serve(tmp_path):
    """Start a server script; at the test's end it has to end well, with no error."""
    servers = []

    def start(script: str, *options: str, **popen) -> Server:
        servers.append(Server(tmp_path, script, *options, **popen))
        return servers[-1]

    yield start
    try:
        for server in servers:
            assert server.process.poll() in (None, 0)
            assert server.stop() == 0
            assert server.errors == ''
    finally:
        for server in servers:
            server.process.kill()


@pytest.fixture
def serve_listing(tmp_path):
    """Start a server of the listings."""
    servers = []

    def start(script: str, **popen) -> Server:
        servers.append(Server(tmp_path, script, root=LISTINGS, **popen))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait(PATIENCE)


@pytest.fixture(params=PAIRS, ids=['TCP', 'UDP'])
def pair(request, serve):
    """A running server, and the name of the client for it."""
    server, client = request.param
    return types.SimpleNamespace(server=serve(server), client=client)


@pytest.fixture
def loopback():
    """A network of the test's own; gives a function that switches it on and off."""

    def switch(on: bool) -> None:
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack('16sh14x', b'lo', on))

    libc = ctypes.CDLL(None)
    try:
        network = open('/proc/thread-self/ns/net')
    except OSError:
        pytest.skip('takes Linux')
    with network:
        if libc.unshare(CLONE_NEWNET):
            pytest.skip('takes root')
        try:
            switch(True)
            yield switch
        finally:
            libc.setns(network.fileno(), CLONE_NEWNET)


@pytest.fixture
def before_script(tmp_path):
    """Give an environment in which each Python runs some code before its script."""

    def environment(code: str) -> dict[str, str]:
        folder = tmp_path / 'sitecustomize'
        folder.mkdir()
        (folder / 'sitecustomize.py').write_text(textwrap.dedent(code))
        return os.environ | {'PYTHONPATH': str(folder)}

    return environment
