#!/usr/bin/env python3
"""Measure the timestamp scripts beside others that do the same, in one run.

All servers are processes of their own. They take short turns in random order, so that
what else the machine does meets them alike. A figure is the median over the rounds,
and a ratio that of this script to the other, the median over the rounds as well.
"""

import argparse
import asyncio
import contextlib
import functools
import json
import os
import platform
import random
import re
import selectors
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from operator import attrgetter, truediv
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from common import MSGSIZ, number, stamped  # noqa: E402

HOST = '127.0.0.1'
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
PATIENCE = 20  # seconds, for what could otherwise take for ever
QUIT = 'benchmark.py: a server has quit'


# The other servers: the listings as programs, the rest as functions

LISTING_TCP = """# Example 16.1, in Python 3
import sys
from socket import *
from time import ctime

ADDR = ('', int(sys.argv[2]))
BUFSIZ = 1024
tcpSerSock = socket(AF_INET, SOCK_STREAM)
tcpSerSock.bind(ADDR)
tcpSerSock.listen(5)

while True:
    print('waiting for connection...')
    tcpCliSock, addr = tcpSerSock.accept()
    print('...connected from:', addr)
    while True:
        data = tcpCliSock.recv(BUFSIZ)
        if not data:
            break
        tcpCliSock.send(bytes('[%s] %s' % (ctime(), data.decode('utf-8')), 'utf-8'))
    tcpCliSock.close()
"""

LISTING_UDP = """# Example 16.3, in Python 3, its log as live as ours
import sys
from socket import *
from time import ctime

ADDR = ('', int(sys.argv[2]))
BUFSIZ = 1024
udpSerSock = socket(AF_INET, SOCK_DGRAM)
udpSerSock.bind(ADDR)

while True:
    print('waiting for message...', flush=True)
    data, addr = udpSerSock.recvfrom(BUFSIZ)
    reply = bytes('[%s] %s' % (ctime(), data.decode('utf-8')), 'utf-8')
    udpSerSock.sendto(reply, addr)
    print('...received from and returned to:', addr, flush=True)
"""


def echo_tcp(port: int) -> None:
    """A bare echo: no timestamp at all."""
    with socket.create_server((HOST, port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(1024):
                    connection.sendall(data)


def echo_udp(port: int) -> None:
    """A bare echo: neither timestamp nor log."""
    with socket.socket(socket.AF_INET, UDP) as server:
        server.bind((HOST, port))
        while True:
            data, addr = server.recvfrom(1024)
            server.sendto(data, addr)


def asyncio_tcp(port: int) -> None:
    """The same service on asyncio streams."""

    async def dialog(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(1024):
            writer.write(stamped(data))
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(dialog, HOST, port)
        await server.serve_forever()

    asyncio.run(main())


def socketserver_tcp(port: int) -> None:
    """The same service on socketserver.ThreadingTCPServer."""

    class Dialog(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                while data := self.request.recv(1024):
                    self.request.sendall(stamped(data))

    socketserver.ThreadingTCPServer.request_queue_size = 1024
    with socketserver.ThreadingTCPServer((HOST, port), Dialog) as server:
        server.serve_forever()


# Processes and connections


def start(stack: ExitStack, *command: object, **popen) -> subprocess.Popen:
    """Run a Python program until the end of the stack."""
    process = subprocess.Popen([sys.executable, *map(str, command)], **popen)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def connect(port: int, kind: int = TCP) -> socket.socket:
    """Return a connected socket that blocks, if not for ever (see socket(7))."""
    client = socket.socket(socket.AF_INET, kind)
    timeval = struct.pack('ll', PATIENCE, 0)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    client.connect((HOST, port))
    return client


class Server:
    """A server process, from when it answers until the end of the stack."""

    def __init__(self, stack: ExitStack, kind: int, *command: object):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind((HOST, 0))
            self.port = probe.getsockname()[1]
        log = stack.enter_context(tempfile.TemporaryFile())
        process = start(stack, *command, '--port', self.port, stdout=log, stderr=log)
        self.kind, self.pid = kind, process.pid
        self.processor_time = ~self.pid << 3 | 2  # clock_getcpuclockid(3), in Linux
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(ConnectionError),
                connect(self.port, kind) as client,
            ):
                client.send(b'hi')
                client.recv(2048)
                self.memory_at_rest = memory(self.pid, 'VmRSS')
                return
            time.sleep(0.01)
        sys.exit(f'benchmark.py: this server does not answer: {process.args}')


def memory(pid: int, field: str) -> float:
    """Return VmRSS (a process's memory now) or VmHWM (the most so far) in MiB."""
    status = Path(f'/proc/{pid}/status').read_text()
    return int(re.search(rf'{field}:\s+(\d+)', status)[1]) / 1024


# The loads: what a client or many do in one turn, in messages per second (of a clock)

# What people enter: short lines in four languages, and one as long as the clients send.
LINES = (
    b'hi\n',
    b'spanish inquisition\n',
    '¿Qué hora es?\n'.encode(),
    'Который час?\n'.encode(),
    '今何時ですか\n'.encode(),
    b'x' * MSGSIZ + b'\n',
)


def lock_step(
    client: socket.socket, clock: int, lines: Sequence[bytes] = LINES, count: int = 300
) -> float:
    """A TCP client sends a line, gets the reply, sends the next.

    It does as little as it can, since its time is a part of each round trip.
    """
    buffer, newline = bytearray(2048), ord('\n')
    begin = time.clock_gettime(clock)
    for line in islice(cycle(lines), count):
        client.send(line)
        while buffer[(client.recv_into(buffer) or sys.exit(QUIT)) - 1] != newline:
            pass
    return count / (time.clock_gettime(clock) - begin)


def in_flight(
    client: socket.socket, clock: int, datagrams: int = 8, count: int = 2000
) -> float:
    """A UDP client keeps this many datagrams under way."""
    message = b'x' * 50
    begin = time.clock_gettime(clock)
    for _ in range(datagrams):
        client.send(message)
    for _ in range(count - datagrams):
        client.recv(2048)
        client.send(message)
    for _ in range(datagrams):
        client.recv(2048)
    return count / (time.clock_gettime(clock) - begin)


def busy(port: int, clients: int, count: int = 10000) -> float:
    """This many TCP clients come, are all busy in lock-step, and leave."""
    message = b'x' * 50
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        begin = time.perf_counter()
        for _ in range(clients):
            client = stack.enter_context(connect(port))
            selector.register(client, selectors.EVENT_READ)
            client.sendall(message)
        replies = 0
        while replies < count:
            for key, _ in selector.select(PATIENCE) or sys.exit(f'stuck: port {port}'):
                key.fileobj.recv(2048)
                replies += 1
                if replies <= count - clients:
                    key.fileobj.sendall(message)
        return count / (time.perf_counter() - begin)


def burst(port: int, limit: float, clients: int = 500) -> tuple[int, float]:
    """TCP clients that come at once; return how many were served, in what time."""
    served, elapsed, begin = 0, 0.0, time.perf_counter()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(clients):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((HOST, port))
            selector.register(client, selectors.EVENT_WRITE)
        while served < clients and elapsed < limit:
            for key, event in selector.select(0.1):
                if event == selectors.EVENT_WRITE:
                    key.fileobj.send(b'hi')
                    selector.modify(key.fileobj, selectors.EVENT_READ)
                else:
                    key.fileobj.recv(2048)
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    served += 1
            elapsed = time.perf_counter() - begin
    return served, elapsed


def long_line(stack: ExitStack, script: str, port: int) -> tuple[float, float, float]:
    """Pass a line of 16 MB through a client; return MB/s, memory before and after."""
    output = stack.enter_context(tempfile.TemporaryFile())
    command = [ROOT / script, '--port', port]
    client = start(stack, *command, stdin=subprocess.PIPE, stdout=output, bufsize=0)

    def wait_for_output(size: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while os.fstat(output.fileno()).st_size < size:
            if time.monotonic() > deadline:
                sys.exit(f'benchmark.py: {script} does not return a long line')
            time.sleep(0.001)

    client.stdin.write(b'x\n')
    wait_for_output(28)
    at_rest, line = memory(client.pid, 'VmRSS'), b'x' * (16000 * MSGSIZ)
    begin = time.perf_counter()
    client.stdin.write(line + b'\n')
    wait_for_output(28 + len(line) + 16000 * 27)
    speed = len(line) / 1e6 / (time.perf_counter() - begin)
    return speed, at_rest, memory(client.pid, 'VmHWM')


# The tables

Row = tuple[str, float, str, float | None]  # what was measured, figure, unit, ratio


def progress(text: str) -> None:
    """Say on standard error, if somebody is there to see it, what is being measured."""
    if sys.stderr.isatty():
        print(f'\r{text:75}', end='\r', file=sys.stderr, flush=True)


def compare(
    title: str, rounds: int, turns: Mapping[str, Sequence[Callable[[], float]]]
) -> list[Row]:
    """Take turns; return a row for each name, with the ratio of the first one to it.

    A name has one turn a round: its first, its second, and so on, and its first again.
    """
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for done in range(rounds):
        progress(f'{title}: round {done + 1} of {rounds}')
        for name in random.sample(list(turns), len(turns)):
            turn = turns[name][done % len(turns[name])]
            rates[name].append(turn())
    ours, *others = rates.values()
    ratios = [None, *(median(map(truediv, ours, other)) for other in others)]
    figures = [median(rate) for rate in rates.values()]
    units = ['messages/s'] * len(rates)
    return list(zip(rates, figures, units, ratios, strict=True))


def compare_connected(
    title: str,
    rounds: int,
    servers: dict[str, list[Server]],
    load: Callable[..., float],
    clock: Callable[[Server], int] = lambda server: time.CLOCK_MONOTONIC,
    **options: object,
) -> list[Row]:
    """Compare servers, of which there may be several alike, by a load on each."""
    with ExitStack() as connections:
        turns: dict[str, list[Callable[[], float]]] = {name: [] for name in servers}
        for name, alike in servers.items():
            for server in alike:
                client = connections.enter_context(connect(server.port, server.kind))
                turn = functools.partial(load, client, clock(server), **options)
                turns[name].append(turn)
        return compare(title, rounds, turns)


def measure(stack: ExitStack, effort: int) -> dict[str, list[Row]]:
    """Measure everything; return the tables by their titles."""
    progress('starting the servers')
    udp = Server(stack, UDP, ROOT / 'tsUserv.py')
    many = Server(stack, TCP, ROOT / 'tsTserv.py', '--threads', 256)
    listing_udp = Server(stack, UDP, '-c', LISTING_UDP)
    tables: dict[str, list[Row]] = {}

    def other(kind: int, function: Callable[[int], None]) -> Server:
        return Server(stack, kind, __file__, '--serve', function.__name__)

    # Where a process happens to have its memory is worth a percent: so five of each.
    tcps = [Server(stack, TCP, ROOT / 'tsTserv.py') for _ in range(5)]
    listings = [Server(stack, TCP, '-c', LISTING_TCP) for _ in range(5)]
    tcp, listing = tcps[0], listings[0]

    title = 'TCP, one client in lock-step'
    servers = {
        'tsTserv.py': tcps,
        'a bare echo: no timestamp at all': [other(TCP, echo_tcp) for _ in range(5)],
        'the listing: ctime() for each message, send()': listings,
        'the same service on asyncio streams': [other(TCP, asyncio_tcp)],
    }
    tables[title] = compare_connected(title, 40 * effort, servers, lock_step)

    title = "TCP, the same by the server's processor time"
    tables[title] = compare_connected(
        title, 20 * effort, servers, lock_step, clock=attrgetter('processor_time')
    )

    title = 'TCP, one client, messages of 3 x BUFSIZ'
    servers = {'tsTserv.py, TCP_NODELAY': [tcp], 'the listing': [listing]}
    lines = [b'x' * 3071 + b'\n']
    tables[title] = compare_connected(
        title, effort, servers, lock_step, lines=lines, count=5
    )

    title = 'UDP, eight datagrams in flight, live logs in files'
    servers = {
        'tsUserv.py': [udp],
        'the listing: print(..., flush=True)': [listing_udp],
        'a bare echo: neither timestamp nor log': [other(UDP, echo_udp)],
    }
    tables[title] = compare_connected(title, 15 * effort, servers, in_flight)

    spawning = other(TCP, socketserver_tcp)
    for clients in 8, 64:
        title = f'TCP, {clients} busy clients'
        own = Server(stack, TCP, ROOT / 'tsTserv.py', '--threads', clients)
        ports = {
            f'tsTserv.py --threads {clients}': own.port,
            'socketserver.ThreadingTCPServer': spawning.port,
        }
        turns = {
            name: [functools.partial(busy, port, clients)]
            for name, port in ports.items()
        }
        tables[title] = compare(title, 4 * effort, turns)

    title = 'TCP, 500 clients at once'
    progress(title)
    bursts = [burst(tcp.port, limit=PATIENCE) for _ in range(5)]
    counts, times = zip(*bursts, strict=True)
    served, seconds = min(counts), median(times)
    few, limit = burst(listing.port, limit=5)
    tables[title] = [
        (f'tsTserv.py, listen(1024): {served} served in', seconds, 's', None),
        (f'the listing, listen(5): {few} served in', limit, 's', None),
    ]

    title = 'How the cost grows'
    rows = tables[title] = []
    cores, pids = os.sched_getaffinity(0), (0, tcp.pid, listing.pid)
    for pid in pids:  # on one core: a switch costs more than bytes
        os.sched_setaffinity(pid, {min(cores)})
    for size in 1, 100, MSGSIZ:
        servers = {
            f'tsTserv.py, {size}-byte messages, on one core': [tcp],
            'the listing, the same': [listing],
        }
        lines = [b'x' * (size - 1) + b'\n']
        rows += compare_connected(title, 10 * effort, servers, lock_step, lines=lines)
    for pid in pids:
        os.sched_setaffinity(pid, cores)
    for clients in 1, 16, 256:
        turn = functools.partial(busy, many.port, clients)
        name = f'tsTserv.py --threads 256, {clients} busy'
        rows += compare(title, effort, {name: [turn]})
    memories = [
        ('tsTserv.py', tcp.memory_at_rest, memory(tcp.pid, 'VmHWM')),
        ('tsTserv.py --threads 256', many.memory_at_rest, memory(many.pid, 'VmHWM')),
        ('tsUserv.py', udp.memory_at_rest, memory(udp.pid, 'VmHWM')),
    ]
    for script, port in ('tsTclnt.py', tcp.port), ('tsUclnt.py', udp.port):
        progress(f'{title}: a long line through {script}')
        speed, before, after = long_line(stack, script, port)
        rows.append((f'{script}, a line of 16 MB', speed, 'MB/s', None))
        memories.append((script, before, after))
    for name, before, after in memories:
        rows.append((f'{name}, memory at rest', before, 'MiB', None))
        rows.append((f'{name}, memory under load', after, 'MiB', None))
    progress('')
    return tables


def as_text(title: str, rows: list[Row]) -> str:
    """Return a table in Markdown, legible as it is."""
    lines = [
        f'| {title:50} |                    | ratio |',
        f'|{"-" * 52}|-------------------:|------:|',
    ]
    for name, figure, unit, ratio in rows:
        digits = 0 if figure >= 100 else 1 if figure >= 10 else 2
        value = f'{figure:,.{digits}f} {unit}'
        lines.append(
            f'| {name:50} | {value:>18} | {f"{ratio:.2f}" if ratio else "":>5} |'
        )
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--json', action='store_true', help='print figures for machines'
    )
    parser.add_argument(
        '--effort',
        type=number,
        default=10,
        help='1 is quick and rough (default: %(default)s)',
    )
    parser.add_argument('--serve', help=argparse.SUPPRESS)
    parser.add_argument('--port', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        globals()[args.serve](args.port)
    if not Path('/proc/self/status').exists():
        sys.exit('benchmark.py: needs Linux: memory is measured through /proc')
    machine = f'{os.cpu_count()} cores, Python {platform.python_version()}'
    with ExitStack() as stack:
        tables = measure(stack, args.effort)
    if args.json:
        columns = 'name', 'figure', 'unit', 'ratio'
        as_dicts = {
            title: [dict(zip(columns, row, strict=True)) for row in rows]
            for title, rows in tables.items()
        }
        print(json.dumps({'machine': machine, 'tables': as_dicts}, indent=2))
    else:
        print(f'Measured on {machine}.')
        for title, rows in tables.items():
            print('', as_text(title, rows), sep='\n')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except BlockingIOError:
        sys.exit('benchmark.py: a server does not answer')
    except OSError as why:
        sys.exit(f'benchmark.py: {why}')
