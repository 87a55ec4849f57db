#!/usr/bin/env python3
"""UDP timestamp client (Example 16.4).

It sends each line that you enter to the server and shows what comes back, or after two
seconds that nothing has. Enter alone quits, and so does Ctrl-C. In a pipe it is a
filter: lines in, replies out.
"""

from socket import *
from time import monotonic

from common import BUFSIZ, HOST, complain, entered, messages, options, show

TIMEOUT = 2  # seconds

args = options(__doc__, HOST or 'localhost', 'cannot talk to')

udpCliSock = socket(args.family, SOCK_DGRAM)
lines = messages(entered('> '))

while True:
    data = next(lines, b'')
    if not data:
        break
    udpCliSock.sendto(data, args.ADDR)
    deadline = monotonic() + TIMEOUT
    reply, addr = b'', args.ADDR
    try:
        # What comes late or from a stranger is not the reply.
        while not (reply.partition(b']')[2] == data and addr[1] == args.port):
            udpCliSock.settimeout(deadline - monotonic())
            reply, addr = udpCliSock.recvfrom(BUFSIZ)
        show(reply + b'\n')
    except (BlockingIOError, TimeoutError, ValueError):  # no time is left, or to set
        complain(args, 'no reply from', f'waited {TIMEOUT} seconds')
        udpCliSock.close()
        udpCliSock = socket(args.family, SOCK_DGRAM)  # a late reply misses this one

udpCliSock.close()
raise SystemExit(args.status)
