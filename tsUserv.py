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

    while True:
        log('waiting for message...')
        data, addr = udpSerSock.recvfrom(65535)  # BUFSIZ would cut a longer one off
        client = shown(addr)
        # Not a client but a service, and two services could answer each other for ever.
        if addr[1] < 1024 or addr[1] == args.port:
            log(f'...received from and not returned to: {client}')
            continue
        try:
            udpSerSock.sendto(stamped(data), addr)
            log(f'...received from and returned to: {client}')
        except OSError as problem:
            log(f'...received from and not returned to: {client}: {problem.strerror}')
