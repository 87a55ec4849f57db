#!/usr/bin/env python3
"""TCP timestamp server (Example 16.1).

It returns each message of a client as [timestamp]message, to one client after another,
or with --threads N to N clients at once. Start it before any client; Ctrl-C ends it.
"""

from socket import *
from threading import Lock, Thread
from time import sleep

from common import BUFSIZ, HOST, log, options, shown, stamped

args = options(__doc__, HOST, 'cannot serve on', threads='clients at once (default: 1)')

tcpSerSock = socket(args.family, SOCK_STREAM)
tcpSerSock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)  # restart on the same port at once
tcpSerSock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)  # notice that a client has vanished
tcpSerSock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # hold no reply back for an ACK
tcpSerSock.bind(args.ADDR)
tcpSerSock.listen(1024)  # who finds this queue full tries again in 1, 3, 7... seconds
door = Lock()


def serve() -> None:
    """Talk with one client after another."""
    while True:
        log('waiting for connection...')
        try:
            with door:  # one thread at a time: accept() holds a file descriptor
                tcpCliSock, addr = tcpSerSock.accept()
            with tcpCliSock:
                log(f'...connected from: {shown(addr)}')
                dialog(tcpCliSock)
        except OSError as why:
            log(f'...connection failed: {why.strerror}')
            if not isinstance(why, ConnectionError):
                sleep(1)  # no file descriptor is left, say, until a client leaves


def dialog(tcpCliSock: socket) -> None:
    """Return a client's messages with the time, until it quits."""
    while True:
        data = tcpCliSock.recv(BUFSIZ)
        if not data:
            break
        tcpCliSock.sendall(stamped(data))  # send() may take only a part


with tcpSerSock:  # closed on Ctrl-C
    for _ in range(args.threads - 1):
        Thread(target=serve, daemon=True).start()
    serve()
