#!/usr/bin/env python3
"""UDP timestamp server (Example 16.3).

It returns each message, a datagram, to its sender as [timestamp]message. Start
it before any client; Ctrl-C ends it.
"""

from signal import SIG_DFL, SIGINT, signal
from socket import *
from time import sleep

from common import HOST, address, errors_reported, exit_on_signal, going_on, log, options, stamped

signal(SIGINT, SIG_DFL)  # Ctrl-C just ends the script, until exit_on_signal() below
args = options(__doc__, HOST)

with errors_reported(args):
    family, ADDR = address(args.host, args.port)  # AF_INET and (HOST, PORT), as in the book
    udpSerSock = socket(family, SOCK_DGRAM)
    udpSerSock.bind(ADDR)
    exit_on_signal(udpSerSock.close)  # on Ctrl-C: the last line of the book

while True:
    with going_on:
        print('waiting for message...', flush=True)
    addr = None  # no sender yet
    try:
        data, addr = udpSerSock.recvfrom(65535)  # with BUFSIZ, a longer one loses its end
        if addr[1] < 1024 or addr[1] == args.port:  # a service there would answer back, for ever
            log(f'...received from and not returned to: {addr}: not from a client')
        else:
            udpSerSock.sendto(stamped(data), addr)
            print('...received from and returned to:', addr)  # shown with the next line
    except OSError as why:  # it costs this message, not the server
        log(
            f'...received from and not returned to: {addr}: {why.strerror}'
            if addr
            else f'...not received: {why.strerror}'
        )
        sleep(0 if addr else 0.1)  # a fault that stays is not to fill the log
