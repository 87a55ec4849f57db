#!/usr/bin/env python3
"""TCP timestamp server (Example 16.1).

It returns what a client sends as [timestamp]data, up to BUFSIZ bytes at a time:
to one client after another, or with --threads to all of them at once. Start it
before any client; Ctrl-C ends it. In two terminals:

    python3 tsTserv.py
    python3 tsTclnt.py
"""

import os
import sys
from socket import *
from threading import Thread
from time import sleep

from common import BUFSIZ, HOST, end_line, error_line, options, set_windows_ctrl_c, stamped


def dialog(tcpCliSock):
    """Return with a timestamp whatever one client sends, until it quits or is lost."""
    try:
        # KEEPALIVE: after two silent hours, the system asks the client's computer for a sign
        # of life, and recv() fails if none comes. Otherwise a client that was switched off
        # would be awaited for ever.
        tcpCliSock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
        # NODELAY: otherwise TCP would hold back the end of the reply to a long line until the
        # client's computer has confirmed the beginning.
        tcpCliSock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)

        while True:
            data = tcpCliSock.recv(BUFSIZ)
            if not data:
                break
            tcpCliSock.sendall(stamped(data))  # send() may send only a part
    except OSError:
        pass  # a lost client ends the dialog, but not the server
    finally:
        tcpCliSock.close()


parser = options(__doc__, HOST)
parser.add_argument('--threads', action='store_true', help='a thread for each client')
args = parser.parse_args()
ADDR = (args.host, args.port)
set_windows_ctrl_c()

family = AF_INET6 if ':' in args.host else AF_INET  # IPv6 addresses have colons
tcpSerSock = socket(family, SOCK_STREAM)

try:
    # REUSEADDR: otherwise a server that ended while a client was connected could not start
    # again for a minute: "Address already in use". On Windows a server can start again without
    # the option, and with it a second server could take the same port.
    if os.name != 'nt':
        tcpSerSock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    tcpSerSock.bind(ADDR)
    tcpSerSock.listen(1024)  # so many clients may wait; with 5, more try again for seconds

    while True:
        # flush: otherwise a pipe or a file would have the line late.
        print('waiting for connection...', flush=True)
        try:
            tcpCliSock, addr = tcpSerSock.accept()
        except OSError as why:  # such as too many open files: each socket is one
            # On stderr, standard error: standard output then has the book's lines alone.
            print('...connection failed:', why.strerror, file=sys.stderr)
            sleep(0.5)  # meanwhile a client may quit, and errors do not flood the screen
            continue
        print('...connected from:', addr, flush=True)

        if args.threads:
            # The thread runs dialog(tcpCliSock) while we wait for the next client. A daemon
            # thread does not keep Python from ending. But a daemon thread that prints while
            # Python ends can crash Python, so dialog() prints nothing.
            thread = Thread(target=dialog, args=[tcpCliSock], daemon=True)
            try:
                thread.start()
            except RuntimeError as why:  # the system allows no more threads
                print('...no thread for:', addr, why, file=sys.stderr)
                tcpCliSock.close()
        else:
            dialog(tcpCliSock)
except KeyboardInterrupt:  # Ctrl-C
    end_line()
except OSError as why:
    sys.exit(error_line(args, why))
finally:
    tcpSerSock.close()
