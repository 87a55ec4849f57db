#!/usr/bin/env python3
"""UDP timestamp client (Example 16.4).

It sends each line that you enter to the server and shows what comes back, or
after two seconds that nothing has. Enter alone quits, and so does Ctrl-C. In a
pipe it is a filter: lines in, replies out.
"""

from signal import SIG_DFL, SIGINT, signal

signal(SIGINT, SIG_DFL)  # Ctrl-C ends the script at once, even while it starts

import os
import sys
from socket import *
from time import monotonic

from common import (
    HOST,
    address,
    command_line,
    entered,
    errors_reported,
    exit_on_signal,
    report,
    show,
    terminal_restorer,
)

TIMEOUT = 2  # seconds

args = command_line(__doc__, HOST or 'localhost').parse_args()

with errors_reported(args):
    family, ADDR = address(args.host, args.port)
    udpCliSock = socket(family, SOCK_DGRAM)


def ask(data: bytes) -> bytes:
    """Send a message to the server and return its reply.

    That comes from the server's port and holds the message; what comes late, twice or
    from a stranger does not. Raises TimeoutError where none comes in TIMEOUT seconds.
    """
    udpCliSock.sendto(data, ADDR)
    deadline = monotonic() + TIMEOUT
    reason = f'no reply in {TIMEOUT} seconds'
    while (seconds := deadline - monotonic()) > 0:
        udpCliSock.settimeout(seconds)
        try:
            reply, addr = udpCliSock.recvfrom(65535)  # BUFSIZ might cut it off
        except TimeoutError:
            break
        if addr[1] != ADDR[1]:
            continue
        if data in reply:
            return reply
        reason = f'what came is not the reply: {reply[:80]!r}'
    raise TimeoutError(reason)


if os.isatty(0):  # in a pipe a signal just ends the script, like any filter
    # A lambda, since by then another socket may be in this one's place: see below.
    exit_on_signal(lambda: udpCliSock.close(), terminal_restorer())
status = 0

with errors_reported(args):
    for data in entered('> '):
        if not data:
            break
        try:
            reply = ask(data)
        except OSError as why:  # it costs this message alone
            report(args, why.strerror or why)
            status = 1
            udpCliSock.close()
            udpCliSock = socket(family, SOCK_DGRAM)  # a late reply misses this one
        else:
            show(reply.removesuffix(b'\n') + b'\n')

udpCliSock.close()
sys.exit(status)
