#!/usr/bin/env python3
"""TCP timestamp server (Example 16.1).

It returns each message of a client as [timestamp]message, to one client after
another, or with --threads N to N clients at once. Start it before any client;
Ctrl-C ends it.
"""

from signal import SIG_DFL, SIGINT, signal

signal(SIGINT, SIG_DFL)  # Ctrl-C ends the script at once, even while it starts

import os
from socket import *
from threading import Lock, Thread
from time import sleep

from common import (
    BUFSIZ,
    HOST,
    address,
    command_line,
    errors_reported,
    exit_on_signal,
    host_and_port,
    leave,
    log,
    number,
    report,
    stamped,
)

parser = command_line(__doc__, HOST)
parser.add_argument(
    '--threads',
    type=number,
    default=1,
    metavar='N',
    help='clients at once (default: 1)',
)
args = parser.parse_args()

with errors_reported(args):
    family, ADDR = address(args.host, args.port)
    tcpSerSock = socket(family, SOCK_STREAM)
    if os.name == 'posix':  # on Windows it would let two servers share the port
        tcpSerSock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)  # restart at once
    tcpSerSock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)  # notice a vanished client
    tcpSerSock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # hold no reply back
    tcpSerSock.bind(ADDR)
    tcpSerSock.listen(1024)  # a client that finds no room tries again in 1, 3, 7... s

door = Lock()


def serve() -> None:
    """Talk with one client after another."""
    while True:
        log('waiting for connection...')
        with door:  # one thread at a time, since accept() holds a file descriptor
            try:
                tcpCliSock, addr = tcpSerSock.accept()
            except OSError as why:
                log(f'...connection failed: {why.strerror}')
                sleep(0.5)  # no descriptor is left, say, until a client leaves
                continue
        log(f'...connected from: {host_and_port(addr)}')
        with tcpCliSock:
            dialog(tcpCliSock)


def dialog(tcpCliSock: socket) -> None:
    """Return a client's messages with the time, until it quits."""
    try:
        while True:
            data = tcpCliSock.recv(BUFSIZ)
            if not data:
                break
            tcpCliSock.sendall(stamped(data))  # send() may take only a part
    except OSError as why:  # its connection is lost, not the server
        log(f'...connection failed: {why.strerror}')


exit_on_signal(tcpSerSock.close)
try:
    for _ in range(args.threads - 1):
        Thread(target=serve, daemon=True).start()
except RuntimeError as why:  # the system allows no more threads
    report(args, why)
    leave(1)
serve()
