"""Fixtures: programs, running; peers for them; and systems made different."""

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import textwrap
import types

import pytest
from helpers import LISTINGS, PAIRS, PATIENCE, ROOT, Server, udp_socket

# A shell starts its background jobs with SIGINT ignored, and they hand that down.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def root():
    """The folder of the programs under test; test_listings.py puts another here."""
    return ROOT


@pytest.fixture
def serve(tmp_path, root):
    """Start a server; at the test's end, a script has to end well, with no error."""
    servers = []

    def start(script: str, *options: str, **popen) -> Server:
        servers.append(Server(tmp_path, script, *options, **{'root': root} | popen))
        return servers[-1]

    yield start
    try:
        for server in servers:
            if server.root != LISTINGS:
                assert server.process.poll() in (None, 0)
                assert server.stop() == 0
                assert server.errors == ''
    finally:
        for server in servers:
            server.kill()


@pytest.fixture
def tcp(serve):
    """The TCP server, running."""
    return serve('tsTserv.py')


@pytest.fixture
def udp(serve):
    """The UDP server, running."""
    return serve('tsUserv.py')


@pytest.fixture(params=PAIRS, ids=['TCP', 'UDP'])
def pair(request, serve):
    """A running server, and the name of the client for it."""
    server, client = request.param
    return types.SimpleNamespace(server=serve(server), client=client)


@pytest.fixture
def udp_peer():
    """A UDP socket on 127.0.0.1, for a test to be the client or the server."""
    with udp_socket() as peer:
        yield peer


@pytest.fixture
def listener():
    """A listening TCP socket, for a test to be the server."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


@pytest.fixture
def loopback():
    """A network of the test's own; gives a function that switches it on and off."""
    new_network, set_flags = 0x40000000, 0x8914  # unshare(2), netdevice(7)

    def switch(on: bool) -> None:
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, set_flags, struct.pack('16sh14x', b'lo', on))

    libc = ctypes.CDLL(None)
    if not os.path.exists('/proc/thread-self/ns/net'):
        pytest.skip('takes Linux')
    with open('/proc/thread-self/ns/net') as network:
        if libc.unshare(new_network):
            pytest.skip('takes root')
        try:
            switch(True)
            yield switch
        finally:
            libc.setns(network.fileno(), new_network)


@pytest.fixture
def before_script(tmp_path):
    """Give an environment in which each Python runs some code before its script."""

    def environment(code: str) -> dict[str, str]:
        (tmp_path / 'site').mkdir(exist_ok=True)
        (tmp_path / 'site/sitecustomize.py').write_text(textwrap.dedent(code))
        return os.environ | {'PYTHONPATH': str(tmp_path / 'site')}

    return environment


@pytest.fixture
def failing(before_script):
    """Give an environment in which the first calls of a socket's method fail."""

    def environment(call: str, error: str, times: int) -> dict[str, str]:
        return before_script(f"""
            import errno, itertools, socket

            class Socket(socket.socket):
                calls = itertools.count()

                def {call}(self, *args):
                    if next(Socket.calls) < {times}:
                        raise OSError(errno.{error}, 'Forced to fail')
                    return super().{call}(*args)

            socket.socket = Socket
        """)

    return environment


@pytest.fixture
def edited(tmp_path):
    """Give a folder with the scripts, in which one text is replaced by another."""

    def copy(old: str, new: str, name: str = 'edited'):
        texts = {path.name: path.read_text() for path in ROOT.glob('*.py')}
        assert any(old in text for text in texts.values())
        (tmp_path / name).mkdir()
        for file, text in texts.items():
            (tmp_path / name / file).write_text(text.replace(old, new))
        return tmp_path / name

    return copy


PRELOADED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

/* In the last moment before the second call blocks, send the process a signal. */
static void before_it_blocks(void)
{
    static int calls;
    const char *signum = getenv("SIGNAL_BEFORE_SECOND_CALL");
    if (signum && ++calls == 2)
        kill(getpid(), atoi(signum));
}
int accept4(int fd, struct sockaddr *addr, socklen_t *length, int flags)
{
    before_it_blocks();
    return REAL(accept4, fd, addr, length, flags);
}
ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *addr,
                 socklen_t *length)
{
    before_it_blocks();
    return REAL(recvfrom, fd, data, size, flags, addr, length);
}
/* A name server that keeps silent. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **found)
{
    while (host && !strcmp(host, "silent.invalid")) {
        write(2, "looking up\n", 11);
        pause();
    }
    return REAL(getaddrinfo, host, port, hints, found);
}
"""


@pytest.fixture(scope='session')
def preloaded(tmp_path_factory) -> dict[str, str]:
    """The environment in which the library above stands before the C library."""
    compiler = shutil.which('gcc') or pytest.skip('takes gcc')
    folder = tmp_path_factory.mktemp('preloaded')
    (folder / 'preloaded.c').write_text(PRELOADED)
    words = [compiler, '-w', '-shared', '-fPIC', 'preloaded.c', '-o', 'preloaded.so', '-ldl']
    subprocess.run(words, cwd=folder, check=True, timeout=PATIENCE)
    return os.environ | {'LD_PRELOAD': str(folder / 'preloaded.so')}
