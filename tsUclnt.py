#!/usr/bin/env python3
"""UDP timestamp client (Example 16.4).

It sends each line that you enter to the server and shows what comes back, or
after two seconds that nothing has. Enter alone quits, and so does Ctrl-C. In a
pipe it is a filter: lines in, replies out.
"""

from signal import SIG_DFL, SIGINT, signal
from socket import *
from time import monotonic

from common import HOST, address, entered, errors_reported, options, report

signal(SIGINT, SIG_DFL)  # Ctrl-C just ends the script, until entered() has a prompt
args = options(__doc__, HOST or 'localhost')  # blank is for servers
status = 0

with errors_reported(args):
    family, ADDR = address(args.host, args.port)  # AF_INET and (HOST, PORT), as in the book
    udpCliSock = socket(family, SOCK_DGRAM)

    for data in entered('> '):  # the `while True` and the input() of the book
        if not data:
            break
        deadline = monotonic() + 2  # seconds
        came = None
        try:
            udpCliSock.sendto(data, ADDR)
            while came is None or data not in came:  # a reply holds its message
                if (left := deadline - monotonic()) <= 0:
                    raise TimeoutError
                udpCliSock.settimeout(left)
                reply, addr = udpCliSock.recvfrom(65535)  # it may exceed BUFSIZ
                came = reply if addr[1] == ADDR[1] else came  # ignore other ports
        except OSError as why:  # it costs this message alone
            status = report(  # a timeout has no strerror: a wrong reply came, or none
                args,
                why.strerror
                or (came is not None and f'what came is not the reply: {came[:80]!r}')
                or 'no reply in 2 seconds',
            )
            udpCliSock.close()
            udpCliSock = socket(family, SOCK_DGRAM)  # at a new port: no late reply gets there
        else:
            print(came.rstrip(b'\n').decode(errors='surrogateescape'), flush=True)

    udpCliSock.close()

raise SystemExit(status)
