#!/usr/bin/env python3
"""TCP timestamp client (Example 16.2).

It sends each line that you enter to the server and shows what comes back. Enter alone
quits, and so does Ctrl-C. In a pipe it is a filter: lines in, replies out.
"""

from socket import *

from common import BUFSIZ, HOST, entered, messages, options, show

args = options(__doc__, HOST or 'localhost', 'cannot connect to')

with socket(args.family, SOCK_STREAM) as tcpCliSock:
    tcpCliSock.connect(args.ADDR)
    args.action = 'cannot talk to'  # in an error message from here on
    lines = messages(entered('> '))
    rest = b''

    while True:
        data = next(lines, b'')
        if not data:
            break
        tcpCliSock.sendall(data + b'\n')  # TCP itself keeps no messages apart
        newline = b''
        while not newline:  # a reply may come in parts
            rest = rest or tcpCliSock.recv(BUFSIZ)
            if not rest:
                raise ConnectionError('the server has quit')
            data, newline, rest = rest.partition(b'\n')
            show(data + newline)
