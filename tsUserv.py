#!/usr/bin/env python3
"""UDP timestamp server (Example 16.3).

It returns each message, a datagram, to its sender as [timestamp]message. Start it
before any client; Ctrl-C ends it.
"""

from socket import *

from common import HOST, log, options, shown, stamped

args = options(__doc__, HOST, 'cannot serve on')

with socket(args.family, SOCK_DGRAM) as udpSerSock:  # closed on Ctrl-C
    udpSerSock.bind(args.ADDR)
    event = ''

    while True:
        log(f'{event}waiting for message...')  # both in one write, which is what costs
        data, addr = udpSerSock.recvfrom(65535)  # BUFSIZ would cut a longer one off
        client = shown(addr)
        try:
            # Two services would answer each other for ever.
            if addr[1] < 1024 or addr[1] == args.port:
                raise OSError(0, 'not from a client')
            udpSerSock.sendto(stamped(data), addr)
            event = f'...received from and returned to: {client}\n'
        except OSError as why:
            event = f'...received from and not returned to: {client}: {why.strerror}\n'
