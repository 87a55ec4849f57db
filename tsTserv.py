#!/usr/bin/env python3
"""TCP timestamp server (Example 16.1).

It returns each message of a client as [timestamp]message, to one client after
another, or with --threads N to N clients at once. Start it before any client;
Ctrl-C ends it.
"""

import os
from errno import EINVAL
from signal import SIG_DFL, SIGINT, signal
from socket import *
from threading import Lock, Thread
from time import sleep

from common import (
    BUFSIZ,
    HOST,
    address,
    errors_reported,
    exit_on_signal,
    going_on,
    log,
    options,
    printing,
    report,
    stamped,
)

signal(SIGINT, SIG_DFL)  # Ctrl-C just ends the script, until exit_on_signal() below
args = options(__doc__, HOST, threads=True)

with errors_reported(args):
    family, ADDR = address(args.host, args.port)  # AF_INET and (HOST, PORT), as in the book
    tcpSerSock = socket(family, SOCK_STREAM)
    # Each client's socket inherits these. The first is on everywhere but on Windows, where
    # it would let two servers share the port.
    tcpSerSock.setsockopt(SOL_SOCKET, SO_REUSEADDR, os.name == 'posix')  # restart at once
    tcpSerSock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)  # notice a vanished client
    tcpSerSock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # hold no reply back
    tcpSerSock.bind(ADDR)
    tcpSerSock.listen(1024)  # a client that finds no room tries again in 1, 3, 7... s
    exit_on_signal(tcpSerSock.close)  # on Ctrl-C: the last line of the book

door = Lock()


def serve() -> None:
    """Talk with one client after another."""
    while True:
        with door:  # one thread at a time: accept() takes a file descriptor while it waits
            with printing, going_on:  # as in log()
                print('waiting for connection...', flush=True)
            try:
                tcpCliSock, addr = tcpSerSock.accept()
            except OSError as why:
                if why.errno == EINVAL:  # without listen(), which will not pass
                    os._exit(report(args, why.strerror))
                log('...connection failed:', why.strerror)
                # Too many open files, say, stay so for a while; a client that went does not.
                sleep(0 if isinstance(why, ConnectionError) else 0.5)
                continue
            with printing, going_on:
                print('...connected from:', addr, flush=True)

        try:
            while True:
                data = tcpCliSock.recv(BUFSIZ)
                if not data:
                    break
                tcpCliSock.sendall(stamped(data))  # send() may take only a part
        except OSError as why:  # this client is lost, not the server
            log('...connection failed:', why.strerror)

        tcpCliSock.close()


with errors_reported(args, RuntimeError):  # the system may allow no more threads
    for _ in range(args.threads - 1):
        Thread(target=serve, daemon=True).start()

serve()  # the main thread is the last of the N
