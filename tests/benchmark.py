"""Compare the servers with others that do the same, in one run on one Linux machine.

Each server is a process of its own. Those of a row take turns of a fraction of a second,
so what else the machine does meets them alike. A ratio is the median, over the turns, of
our rate to the rival's: of replies a second or, where 500 clients come at once, of clients
a second.
"""

import argparse
import asyncio
import os
import re
import socketserver
import struct
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from socket import *
from statistics import median
from time import ctime, monotonic, perf_counter, sleep

ROOT = Path(__file__).resolve().parent.parent
HOST = '127.0.0.1'
BUFSIZ = 1024  # bytes, as in common.py and in the listings
PATIENCE = 20  # seconds, for what could otherwise take for ever

# What people enter: short lines in several languages, and one that fills BUFSIZ.
TEXTS = ['hi', 'spanish inquisition', '¿Qué hora es?', 'Который час?', '今何時ですか', 'x' * 997]
LINES = [f'{text}\n'.encode() for text in TEXTS]
LONG_LINE = b'x' * (3 * BUFSIZ - 1) + b'\n'


# The rivals, as their users would write them.


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
    async def dialog(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 1024  # as ours: else the rate of a full queue would be measured

    Server((HOST, port), Dialog).serve_forever()


RIVALS = {
    'bare TCP echo': bare_tcp_echo,
    'bare UDP echo': bare_udp_echo,
    'asyncio streams': asyncio_streams,
    '`ThreadingTCPServer`': threading_tcp_server,
}


def words_for(server: str, port: int) -> list[str]:
    """Return the words that run a rival, a listing or a script on a port."""
    if server in RIVALS:
        return [__file__, '--serve', server, '--port', str(port)]

    if server.startswith('listing '):
        text = (ROOT / 'tests/listings' / server.split()[1]).read_text()
        text = text.replace('21567', str(port))
        text = re.sub(r'print\((.*)\)', r'print(\1, flush=True)', text)  # a live log, as ours
        return ['-c', text]

    script, *options = server.split()
    return [str(ROOT / script), *options, '--port', str(port)]


def start(stack: ExitStack, server: str, kind: int) -> int:
    """Run a server until the stack ends, and return its port when it answers."""
    with socket(AF_INET, kind) as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]

    # With PYTHONUNBUFFERED, a log would be written word by word.
    environment = os.environ | {'PYTHONUNBUFFERED': ''}
    log = stack.enter_context(tempfile.TemporaryFile())
    words = [sys.executable, *words_for(server, port)]
    process = stack.enter_context(
        subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
    )
    stack.callback(process.kill)

    deadline = monotonic() + PATIENCE
    while process.poll() is None and monotonic() < deadline:
        try:
            connect(port, kind).close()
            return port
        except OSError:  # not yet
            sleep(0.01)
    sys.exit(f'benchmark.py: {server} does not start')


def connect(port: int, kind: int) -> socket:
    """Return a connected socket, after a first line and its reply."""
    client = socket(AF_INET, kind)
    # The kernel keeps the time: with settimeout(), Python would ask it before each recv().
    client.setsockopt(SOL_SOCKET, SO_RCVTIMEO, struct.pack('ll', PATIENCE, 0))
    client.connect((HOST, port))
    if client.getsockname() == client.getpeername():  # by chance, before the server starts
        raise ConnectionError('a client hears itself')

    client.send(LINES[0])
    receive(client)
    return client


def receive(client: socket) -> None:
    """Wait for the newline that ends a reply. Raises OSError if none comes."""
    while data := client.recv(4 * BUFSIZ):
        if data.endswith(b'\n'):
            return
    raise ConnectionError('a server has quit')


def talk(port: int, kind: int, clients: int, lines: list[bytes], count: int) -> float:
    """Let clients take turns to send count lines in all; return replies a second.

    Each has one line under way at a time.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(port, kind)) for _ in range(clients)]
        for client in sockets:
            client.send(lines[0])

        begin = perf_counter()
        for number in range(count):
            client = sockets[number % clients]
            receive(client)
            client.send(lines[number % len(lines)])
        seconds = perf_counter() - begin

        for client in sockets:
            receive(client)
    return count / seconds


def come_at_once(port: int) -> float:
    """Let 500 clients come at once, for 3 seconds; return served clients a second."""

    async def visit() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(LINES[0])
        await reader.readuntil(b'\n')
        writer.close()

    async def visit_all() -> int:
        visits = [asyncio.create_task(visit()) for _ in range(500)]
        done, _ = await asyncio.wait(visits, timeout=3)
        return len([visit for visit in done if visit.exception() is None])

    begin = perf_counter()
    served = asyncio.run(visit_all())
    return served / (perf_counter() - begin)


def compare(load: str, turns: int, kind: int, measure, ours: str, *rivals: str) -> None:
    """Print a row for each rival: measure(port) gives a server's rate in a turn."""
    rates = {server: [] for server in [ours, *rivals]}
    with ExitStack() as stack:
        ports = {server: start(stack, server, kind) for server in rates}
        for turn in range(turns):
            servers = list(rates)
            if turn % 2:  # nobody is always the first
                servers.reverse()
            for server in servers:
                rates[server].append(measure(ports[server]))

    for rival in rivals:
        ratios = [this / that for this, that in zip(rates[ours], rates[rival], strict=True)]
        name = rival.split()[0] if rival.startswith('listing') else rival
        print(f'| {load} | {name} | {median(ratios):.2f} |', flush=True)


def measure_all(effort: int) -> None:
    """Print the table."""
    print('| load | rival | ratio |\n|---|---|---|')
    tcp, udp = SOCK_STREAM, SOCK_DGRAM
    tcp_listing, udp_listing = 'listing tsTserv.py', 'listing tsUserv.py'

    # Whether client and server share a core outweighs their code: here they all do.
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})  # the servers inherit it
    compare(
        'TCP, one client, one core',
        20 * effort,
        tcp,
        lambda port: talk(port, tcp, 1, LINES, 500),
        'tsTserv.py',
        'bare TCP echo',
        tcp_listing,
        'asyncio streams',
    )
    os.sched_setaffinity(0, cores)

    compare(
        'TCP, lines of 3 BUFSIZ',
        effort,
        tcp,
        lambda port: talk(port, tcp, 1, [LONG_LINE], 5),
        'tsTserv.py',
        tcp_listing,
    )
    for clients in 8, 64:
        compare(
            f'TCP, {clients} clients, `--threads`',
            10 * effort,
            tcp,
            lambda port, clients=clients: talk(port, tcp, clients, LINES, 2500),
            'tsTserv.py --threads',
            '`ThreadingTCPServer`',
        )
    compare('TCP, 500 clients at once', 1, tcp, come_at_once, 'tsTserv.py', tcp_listing)
    compare(
        'UDP, 8 clients',
        20 * effort,
        udp,
        lambda port: talk(port, udp, 8, LINES, 1000),
        'tsUserv.py',
        udp_listing,
        'bare UDP echo',
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--effort', type=int, default=10, help='1 is quick, default 10')
    parser.add_argument('--serve', choices=RIVALS, help=argparse.SUPPRESS)
    parser.add_argument('--port', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()

    if args.serve:
        RIVALS[args.serve](args.port)
    if args.effort < 1:
        parser.error('--effort is 1 or more')
    if not hasattr(os, 'sched_setaffinity'):
        sys.exit('benchmark.py: needs Linux: it pins processes to a core')
    if os.sysconf('SC_OPEN_MAX') < 600:
        sys.exit('benchmark.py: needs 600 open files: run "ulimit -n 600" before it')

    print(f'{os.cpu_count()} cores, Python {sys.version.split()[0]}\n')
    measure_all(args.effort)


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as why:
        sys.exit(f'benchmark.py: {why}')
