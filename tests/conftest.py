"""Fixtures: programs, running; peers for them; and systems made different."""

import ctypes
import fcntl
import io
import os
import shutil
import signal
import socket
import struct
import subprocess
import textwrap
import types
from contextlib import ExitStack

import pexpect
import pytest
from helpers import CLIENTS, LISTINGS, PAIRS, PATIENCE, ROOT, Server, command, ports, udp_socket

# A shell starts its background jobs with SIGINT ignored, and they hand that down.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What a machine has set is not to decide what the programs print, nor a silent name server.
for name in [*os.environ]:
    if name.startswith(('COLUMNS', 'FORCE_COLOR', 'LANG', 'LC_', 'PYTHON')):
        del os.environ[name]
os.environ |= {'INPUTRC': os.devnull, 'RES_OPTIONS': 'timeout:1 attempts:1'}  # resolv.conf(5)


@pytest.fixture
def root():
    """The folder of the programs under test; test_listings.py puts another here."""
    return ROOT


@pytest.fixture
def serve(tmp_path, root):
    """Start a server; at the test's end, a script has to end with its .ends: well, by default."""
    started = []

    def start(script: str, *options: str, **popen) -> Server:
        started.append(Server(tmp_path, script, *options, **{'root': root} | popen))
        return started[-1]

    yield start
    try:
        for server in started:
            assert server.root == LISTINGS or (server.stop(), server.errors) == server.ends
    finally:
        for server in started:
            server.stop(signal.SIGKILL)


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
def start(root):
    """Start a program on pipes, and enter some data; at the test's end, it is ended."""
    with ExitStack() as stack:

        def start(script, port, data=b'', options=(), root=root, **popen) -> subprocess.Popen:
            popen = dict.fromkeys(['stdin', 'stdout', 'stderr'], subprocess.PIPE) | popen
            words = command(script, port, *options, root=root)
            process = subprocess.Popen(words, bufsize=0, **popen)
            stack.enter_context(process)
            stack.callback(process.kill)
            process.stdin.write(data)
            return process

        yield start


@pytest.fixture
def terminal(root):
    """Start a program on a pseudo-terminal of its own, and wait for a text, say, its prompt."""
    pytest.importorskip('readline')
    with ExitStack() as stack:

        def start(script, port, text='> ', **spawn) -> pexpect.spawn:
            python, *arguments = command(script, port, root=root)
            environment = os.environ | {'TERM': 'dumb', 'LC_ALL': 'C.UTF-8'}
            spawn = {'timeout': PATIENCE, 'dimensions': (24, 200), 'env': environment} | spawn
            process = pexpect.spawn(python, arguments, **spawn)
            stack.callback(process.close, force=True)
            process.logfile_read, process.port = io.BytesIO(), port
            process.expect_exact(text)
            return process

        yield start


@pytest.fixture
def server_terminal(terminal):
    """Run a server on a pseudo-terminal; it serves at its .port."""

    def start(script: str) -> pexpect.spawn:
        for port in ports():
            server = terminal(script, port, ['waiting for', 'Address already in use'])
            if server.after == b'waiting for':
                return server

    return start


@pytest.fixture
def udp_peer():
    """A UDP socket on 127.0.0.1, for a test to be the client or the server."""
    with udp_socket() as peer:
        yield peer


@pytest.fixture
def listener():
    """A listening TCP socket, for a test to be the server."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        yield listener


@pytest.fixture(params=CLIENTS)
def played(request, listener, udp_peer):
    """Be the server: a client's name, the port for it, and a function that gives its socket."""
    server = listener if request.param == 'tsTclnt.py' else udp_peer
    with ExitStack() as stack:

        def accept() -> socket.socket:
            if server is listener:
                return stack.enter_context(server.accept()[0])
            server.connect(server.recvfrom(1, socket.MSG_PEEK)[1])
            return server

        yield request.param, server.getsockname()[1], accept


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
            real, calls = socket.socket.{call}, itertools.count()

            def {call}(*args):
                if next(calls) < {times}:
                    raise OSError(errno.{error}, 'Forced to fail')
                return real(*args)

            socket.socket.{call} = {call}
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
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In the last moment before the second call blocks, send the process a signal. */
static void before_it_blocks(void)
{
    static int calls;
    const char *signum = getenv("SIGNAL_BEFORE_SECOND_CALL");
    if (signum && ++calls == 2)
        kill(getpid(), atoi(signum));
}
int accept4(int fd, void *addr, void *length, int flags)
{
    return before_it_blocks(), syscall(SYS_accept4, fd, addr, length, flags);
}
long recvfrom(int fd, void *data, long size, int flags, void *addr, void *length)
{
    return before_it_blocks(), syscall(SYS_recvfrom, fd, data, size, flags, addr, length);
}
/* A name server that keeps silent. */
int getaddrinfo(const char *host, const char *port, const void *hints, void **found)
{
    int (*real)(const char *, const char *, const void *, void **) = dlsym(RTLD_NEXT, __func__);
    for (; host && !strcmp(host, "silent.invalid"); pause())
        write(2, "looking up\n", 11);
    return real(host, port, hints, found);
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
