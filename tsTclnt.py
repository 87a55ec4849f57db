#!/usr/bin/env python3
"""TCP timestamp client (Example 16.2).

It sends each line that you enter to the server and shows what comes back.
Enter alone quits, and so does Ctrl-C. In a pipe it is a filter: lines in,
replies out.
"""

from signal import SIG_DFL, SIGINT, signal
from socket import *

from common import BUFSIZ, HOST, address, entered, errors_reported, options

signal(SIGINT, SIG_DFL)  # Ctrl-C just ends the script, until entered() has a prompt
args = options(__doc__, HOST or 'localhost')  # blank is for servers

with errors_reported(args):
    family, ADDR = address(args.host, args.port)  # AF_INET and (HOST, PORT), as in the book
    tcpCliSock = socket(family, SOCK_STREAM)
    tcpCliSock.connect(ADDR)

    for data in entered('> '):  # the `while True` and the input() of the book
        if not data:
            break
        tcpCliSock.sendall(data + b'\n')  # TCP keeps no messages apart: this ends one
        reply = b''
        while not reply.endswith(b'\n'):  # each part is shown as it comes
            reply = tcpCliSock.recv(BUFSIZ)
            if not reply:
                raise ConnectionError('the server has closed the connection')
            print(reply.decode(errors='surrogateescape'), end='', flush=True)

    tcpCliSock.close()
