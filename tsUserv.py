#!/usr/bin/env python3
"""UDP timestamp server (Example 16.3).

It returns each message, a datagram, to its sender as [timestamp]message. Start
it before any client; Ctrl-C ends it.
"""

from signal import SIG_DFL, SIGINT, signal

signal(SIGINT, SIG_DFL)  # Ctrl-C ends the script at once, even while it starts

from socket import *
from time import sleep

from common import (
    HOST,
    address,
    command_line,
    errors_reported,
    exit_on_signal,
    host_and_port,
    log,
    stamped,
)

args = command_line(__doc__, HOST).parse_args()

with errors_reported(args):
    family, ADDR = address(args.host, args.port)
    udpSerSock = socket(family, SOCK_DGRAM)
    udpSerSock.bind(ADDR)

exit_on_signal(udpSerSock.close)
NEXT = '\nwaiting for message...'  # in one write with the line before: writes cost
log('waiting for message...')

while True:
    try:
        data, addr = udpSerSock.recvfrom(65535)  # BUFSIZ would cut a longer one off
    except OSError as why:  # Windows says here that an earlier client has gone
        log(f'...not received: {why.strerror}{NEXT}')
        sleep(0.1)  # where it fails for good, the log is not to fill
        continue
    peer = host_and_port(addr)
    if addr[1] < 1024 or addr[1] == args.port:  # two servers would never stop
        log(f'...received from and not returned to: {peer}: not from a client{NEXT}')
        continue
    try:
        udpSerSock.sendto(stamped(data), addr)
        log(f'...received from and returned to: {peer}{NEXT}')
    except OSError as why:
        log(f'...received from and not returned to: {peer}: {why.strerror}{NEXT}')
