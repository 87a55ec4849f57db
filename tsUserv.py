#!/usr/bin/env python3
"""UDP timestamp server (Example 16.3).

It returns each message, a datagram, to its sender as [timestamp]data. Start it
before any client; Ctrl-C ends it. In two terminals:

    python3 tsUserv.py
    python3 tsUclnt.py
"""

import sys
from socket import *
from time import sleep

from common import HOST, end_line, error_line, options, set_windows_ctrl_c, stamped

args = options(__doc__, HOST).parse_args()
ADDR = (args.host, args.port)
set_windows_ctrl_c()

family = AF_INET6 if ':' in args.host else AF_INET  # IPv6 addresses have colons
udpSerSock = socket(family, SOCK_DGRAM)

try:
    udpSerSock.bind(ADDR)

    while True:
        # flush: otherwise a pipe or a file would have the line late.
        print('waiting for message...', flush=True)
        try:
            # No datagram is longer. With BUFSIZ, the end of a longer message would be lost.
            data, addr = udpSerSock.recvfrom(65535)
        except OSError as why:  # Windows reports here that an earlier reply met no client
            # On stderr, standard error: standard output then has the book's lines alone.
            print('...not received:', why.strerror, file=sys.stderr)
            sleep(0.1)  # an error that stays does not flood the screen
            continue

        # Ports, addr[1], below 1024 are those of well-known services. Somebody can forge such a
        # sender: the service would answer our answer, we would answer that, without end.
        if addr[1] < 1024:
            print('...received from and not returned to:', addr, file=sys.stderr)
            continue

        try:
            udpSerSock.sendto(stamped(data), addr)
        except OSError as why:  # costs this message, not the server
            print('...received from and not returned to:', addr, why.strerror, file=sys.stderr)
            continue
        print('...received from and returned to:', addr)  # comes out with the next 'waiting'
except KeyboardInterrupt:  # Ctrl-C
    end_line()
except OSError as why:
    sys.exit(error_line(args, why))
finally:
    udpSerSock.close()
