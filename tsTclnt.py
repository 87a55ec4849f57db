#!/usr/bin/env python3
"""TCP timestamp client (Example 16.2).

It sends each line that you enter to the server and shows what comes back.
Enter alone quits, and so does Ctrl-C. Lines can also come from a pipe or a
file; then it prints the replies alone. In two terminals:

    python3 tsTserv.py
    python3 tsTclnt.py
"""

import sys
from socket import *

from common import BUFSIZ, HOST, end_line, entered, error_line, options, set_windows_ctrl_c, show

args = options(__doc__, HOST or 'localhost').parse_args()
ADDR = (args.host, args.port)
set_windows_ctrl_c()

family = AF_INET6 if ':' in args.host else AF_INET  # IPv6 addresses have colons
tcpCliSock = socket(family, SOCK_STREAM)

try:
    tcpCliSock.connect(ADDR)

    while True:
        data = entered('> ')  # bytes
        if not data:
            break
        # The server replies while we still send. With megabytes, each side would wait until
        # the other reads; 64 KiB, that is 65536 bytes, are far less.
        if len(data) > 65536:
            sys.exit('tsTclnt.py: a line of more than 64 KiB')
        tcpCliSock.sendall(data + b'\n')  # the newline ends the message, and so its reply

        reply = b''
        while not reply.endswith(b'\n'):  # TCP may bring a reply in parts
            part = tcpCliSock.recv(BUFSIZ)
            if not part:
                raise ConnectionError('the server has closed the connection')  # an OSError
            reply += part
        show(reply)
except KeyboardInterrupt:  # Ctrl-C
    end_line()
except OSError as why:
    sys.exit(error_line(args, why))
finally:
    tcpCliSock.close()
