#!/usr/bin/env python3
# Example 16.3 as the section explains it, line by line: to compare with, not to copy.
from socket import *
from time import ctime

HOST = ''
PORT = 21567
BUFSIZ = 1024
ADDR = (HOST, PORT)

udpSerSock = socket(AF_INET, SOCK_DGRAM)
udpSerSock.bind(ADDR)

while True:
    print('waiting for message...')
    data, addr = udpSerSock.recvfrom(BUFSIZ)
    udpSerSock.sendto(bytes('[%s] %s' % (
        ctime(), data.decode('utf-8')), 'utf-8'), addr)
    print('...received from and returned to:', addr)

udpSerSock.close()
