#!/usr/bin/env python3
"""TCP timestamp client (Example 16.2).

It sends each line that you enter to the server and shows what comes back.
Enter alone quits, and so does Ctrl-C. In a pipe it is a filter: lines in,
replies out.
"""

from signal import SIG_DFL, SIGINT, signal

signal(SIGINT, SIG_DFL)  # Ctrl-C ends the script at once, even while it starts

import os
from socket import *

from common import (
    BUFSIZ,
    HOST,
    address,
    command_line,
    entered,
    errors_reported,
    exit_on_signal,
    show,
    terminal_restorer,
)

args = command_line(__doc__, HOST or 'localhost').parse_args()

with errors_reported(args):
    family, ADDR = address(args.host, args.port)
    tcpCliSock = socket(family, SOCK_STREAM)
    tcpCliSock.connect(ADDR)
    if os.isatty(0):  # in a pipe a signal just ends the script, like any filter
        exit_on_signal(tcpCliSock.close, terminal_restorer())
    received = b''

    for data in entered('> '):
        if not data:
            break
        tcpCliSock.sendall(data + b'\n')  # TCP itself keeps no messages apart
        while b'\n' not in received:  # a reply may come in parts
            show(received)
            received = tcpCliSock.recv(BUFSIZ)
            if not received:
                raise ConnectionError('the server has quit')
        reply, newline, received = received.partition(b'\n')
        show(reply + newline)

    tcpCliSock.close()
