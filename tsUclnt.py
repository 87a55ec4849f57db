#!/usr/bin/env python3
"""UDP timestamp client (Example 16.4).

It sends each line that you enter to the server and shows what comes back. If
nothing comes for two seconds, it says so. Enter alone quits, and so does
Ctrl-C. Lines can also come from a pipe or a file; then it prints the replies
alone. In two terminals:

    python3 tsUserv.py
    python3 tsUclnt.py
"""

import sys
from socket import *

from common import HOST, end_line, entered, error_line, options, set_windows_ctrl_c, show

args = options(__doc__, HOST or 'localhost').parse_args()
ADDR = (args.host, args.port)
set_windows_ctrl_c()

family = AF_INET6 if ':' in args.host else AF_INET  # IPv6 addresses have colons
udpCliSock = socket(family, SOCK_DGRAM)
udpCliSock.settimeout(2)  # seconds: the network may lose a message or its reply
lost = False  # whether an error has cost a message or its reply

try:
    while True:
        data = entered('> ')  # bytes
        if not data:
            break

        try:
            udpCliSock.sendto(data, ADDR)
        except OSError as why:  # costs this message alone
            # On stderr, standard error: a pipe or a file then has the replies alone.
            print(error_line(args, why), file=sys.stderr)
            lost = True
            continue

        while True:  # until the reply has come
            try:
                reply, addr = udpCliSock.recvfrom(65535)  # no datagram is longer
            except OSError as why:  # also if the two seconds are over
                print(error_line(args, why), file=sys.stderr)
                lost = True
                break

            # Another port: not the server. The addresses are not compared: addr[0] has numbers,
            # args.host may be a name.
            if addr[1] != args.port:
                continue
            show(reply)
            if data in reply:
                break
            # Otherwise it is, most likely, a late reply to an earlier message: wait on.
except KeyboardInterrupt:  # Ctrl-C
    end_line()
except OSError as why:
    sys.exit(error_line(args, why))
finally:
    udpCliSock.close()

if lost:
    sys.exit(1)  # the status tells a shell or a test of it
