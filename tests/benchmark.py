"""Measure the timestamp servers beside others that do the same, in one run.

Each is a process of its own, and rivals are written as their users would write them.
The servers take short turns, in random order in each round, so that what else the
machine does meets them alike. A ratio is the median over the rounds of our messages a
second to the rival's.
"""

import argparse
import asyncio
import os
import random
import re
import socketserver
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import cycle, islice
from pathlib import Path
from socket import *
from statistics import median
from subprocess import Popen
from tempfile import TemporaryDirectory, TemporaryFile
from time import ctime, monotonic, perf_counter, sleep

ROOT = Path(__file__).resolve().parent.parent
HOST = '127.0.0.1'
BUFSIZ = 1024  # bytes, as in common.py and in the listings
PATIENCE = 20  # seconds, for what could otherwise take for ever

# With PYTHONUNBUFFERED, the listing would write each word of its log by itself.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != 'PYTHONUNBUFFERED'}

# What people enter: short lines in four languages, and one as long as tsTclnt.py sends.
TEXTS = 'hi', 'spanish inquisition', '¿Qué hora es?', 'Который час?', '今何時ですか'
LINES = [f'{text}\n'.encode() for text in (*TEXTS, 'x' * 997)]


def bare_tcp_echo(port: int) -> None:
    with create_server((HOST, port)) as server:
        while True:
            client, _ = server.accept()
            with client:
                while data := client.recv(BUFSIZ):
                    client.sendall(data)


def bare_udp_echo(port: int) -> None:
    with socket(AF_INET, SOCK_DGRAM) as server:
        server.bind((HOST, port))
        while True:
            data, addr = server.recvfrom(BUFSIZ)
            server.sendto(data, addr)


def asyncio_streams(port: int) -> None:
    async def dialog(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        while data := await reader.read(BUFSIZ):
            writer.write(f'[{ctime()}]'.encode() + data)
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(dialog, HOST, port)
        await server.serve_forever()

    asyncio.run(main())


def threading_tcp_server(port: int) -> None:
    class Dialog(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while data := self.request.recv(BUFSIZ):
                self.request.sendall(f'[{ctime()}]'.encode() + data)

    # With its 5, clients that find no room and try again would be measured.
    socketserver.ThreadingTCPServer.request_queue_size = 1024
    socketserver.ThreadingTCPServer((HOST, port), Dialog).serve_forever()


FUNCTIONS = bare_tcp_echo, bare_udp_echo, asyncio_streams, threading_tcp_server
RIVALS = {function.__name__: function for function in FUNCTIONS}


def start(stack: ExitStack, kind: int, server: str) -> int:
    """Run a rival or a script until the stack ends; return its port once it answers."""
    deadline = monotonic() + PATIENCE
    for _ in range(3):  # somebody else may take the port before the server does
        with socket(AF_INET, kind) as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        words = [*server.split(), '--port', str(port)]
        if server in RIVALS:
            words = [__file__, '--serve', *words]
        elif server.startswith('tests/listings/'):  # the port stands in its text
            text = (ROOT / server).read_text().replace('21567', str(port))
            text = re.sub(r'print\((.*)\)', r'print(\1, flush=True)', text)  # live, as ours
            copy = Path(stack.enter_context(TemporaryDirectory()), 'copy.py')
            copy.write_text(text)
            words = [str(copy)]
        log = stack.enter_context(TemporaryFile())
        options = {'cwd': ROOT, 'stdout': log, 'stderr': log, 'env': ENVIRONMENT}
        process = stack.enter_context(Popen([sys.executable, *words], **options))
        stack.callback(process.kill)
        while process.poll() is None and monotonic() < deadline:
            with suppress(ConnectionError), connect(port, kind):
                return port
            sleep(0.01)
    sys.exit(f'benchmark.py: {server} does not start')


def connect(port: int, kind: int) -> socket:
    """Return a connected socket, after a first line and its reply.

    Its recv() raises BlockingIOError after PATIENCE. The kernel keeps this time, since
    settimeout() would add a poll() to each call.
    """
    client = socket(AF_INET, kind)
    client.setsockopt(SOL_SOCKET, SO_RCVTIMEO, struct.pack('ll', PATIENCE, 0))
    client.connect((HOST, port))
    if client.getsockname() == client.getpeername():  # before the server starts, by chance
        raise ConnectionError('a client hears itself')
    client.send(LINES[0])
    receive(client)
    return client


def receive(client: socket) -> None:
    """Wait for the newline that ends a reply. Raises ConnectionError if none comes."""
    while data := client.recv(4 * BUFSIZ):
        if data.endswith(b'\n'):
            return
    raise ConnectionError('a server has quit')


def talk(port: int, kind: int, clients: int, lines: list[bytes], count: int) -> float:
    """Let clients, each in lock-step, send count lines in all; return lines/s."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(port, kind)) for _ in range(clients)]
        begin = perf_counter()
        for client in sockets:
            client.send(lines[0])
        for client, line in islice(zip(cycle(sockets), cycle(lines)), count - clients):
            receive(client)
            client.send(line)
        for client in sockets:
            receive(client)
        return count / (perf_counter() - begin)


async def at_once(port: int, clients: int, seconds: int) -> tuple[int, float]:
    """Let clients come at once; return how many had a reply, in how many seconds."""

    async def visit() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(LINES[0])
        await reader.readuntil(b'\n')
        writer.close()

    begin = perf_counter()
    visits = [asyncio.create_task(visit()) for _ in range(clients)]
    done, _ = await asyncio.wait(visits, timeout=seconds)
    return sum(not task.exception() for task in done), perf_counter() - begin


def compare(load: str, rounds: int, servers: dict[str, str], *how) -> Iterator[tuple]:
    """Put each server in turn under a load for talk(); yield a row for each rival.

    servers has the name of each in the table; the first one is ours.
    """
    rates = {server: [] for server in servers}
    with ExitStack() as stack:
        ports = {server: start(stack, how[0], server) for server in servers}
        for _ in range(rounds):
            for server in random.sample(list(servers), len(servers)):
                rates[server].append(talk(ports[server], *how))
    ours, *rivals = servers
    for rival in rivals:
        pairs = zip(rates[ours], rates[rival], strict=True)
        yield load, servers[rival], f'{median(this / that for this, that in pairs):.2f}'


def measure(effort: int) -> Iterator[tuple]:
    """Measure everything; yield the rows of the table: load, rival, ratio."""
    # Whether client and server share a core outweighs their code: here they all do.
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})  # the servers inherit it
    listing = 'tests/listings/tsTserv.py'
    servers = {'tsTserv.py': 'us', 'bare_tcp_echo': 'bare echo', listing: 'listing'}
    servers['asyncio_streams'] = 'asyncio streams'
    load = 'TCP, one client, one core'
    yield from compare(load, 20 * effort, servers, SOCK_STREAM, 1, LINES, 500)
    os.sched_setaffinity(0, cores)

    servers = {'tsTserv.py': 'us', listing: 'listing'}
    line = b'x' * (3 * BUFSIZ - 1) + b'\n'
    load = 'TCP, messages of 3 BUFSIZ'
    yield from compare(load, effort, servers, SOCK_STREAM, 1, [line], 5)

    for n in 8, 64:
        servers = {f'tsTserv.py --threads {n}': 'us'}
        servers['threading_tcp_server'] = '`ThreadingTCPServer`'
        load = f'TCP, {n} threads, {n} clients'
        yield from compare(load, 5 * effort, servers, SOCK_STREAM, n, LINES, 5000)

    servers = {'tsUserv.py': 'us', 'tests/listings/tsUserv.py': 'listing, log live'}
    servers['bare_udp_echo'] = 'bare echo, no log'
    load = 'UDP, 8 in flight'
    yield from compare(load, 20 * effort, servers, SOCK_DGRAM, 8, LINES, 1000)

    for server, name in ('tsTserv.py', 'us'), (listing, 'listing'):
        with ExitStack() as stack:
            port = start(stack, SOCK_STREAM, server)
            served, seconds = asyncio.run(at_once(port, clients=500, seconds=3))
        yield f'TCP, of 500 at once served in {seconds:.2f} s', name, served


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--effort', type=int, default=10, help='1 is quick, default 10')
    parser.add_argument('--serve', choices=RIVALS, help=argparse.SUPPRESS)
    parser.add_argument('--port', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.effort < 1:
        parser.error('--effort is 1 or more')
    if args.serve:
        RIVALS[args.serve](args.port)
    if not hasattr(os, 'sched_setaffinity'):
        sys.exit('benchmark.py: needs Linux: it pins processes to a core')
    if os.sysconf('SC_OPEN_MAX') < 600:
        sys.exit('benchmark.py: needs 600 open files: run "ulimit -n 600" before it')
    print(f'{os.cpu_count()} cores, Python {sys.version.split()[0]}, our rate to a rival:')
    print('\n| load | rival | ratio |\n|---|---|---|')
    for row in measure(args.effort):
        print('| {} | {} | {} |'.format(*row), flush=True)


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except BlockingIOError:
        sys.exit(f'benchmark.py: a server has not answered in {PATIENCE} seconds')
    except OSError as why:
        sys.exit(f'benchmark.py: {why}')
