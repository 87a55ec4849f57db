"""What the timestamp scripts share. HOST, PORT and BUFSIZ are here to be edited."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawTextHelpFormatter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from signal import SIGINT, SIGTERM, default_int_handler, signal
from socket import *
from time import ctime, time_ns

HOST = ''  # blank: any address of this machine to a server, localhost to a client
PORT = 21567
BUFSIZ = 1024  # bytes, 31 or more: a stamp, a character and a newline have to fit
MSGSIZ = max(4, min(BUFSIZ, 65507) - len('[Sat Jun 17 17:27:21 2006]\n'))

# Formatted once a second rather than once a message.
stamp = lru_cache(maxsize=1)(lambda second: f'[{ctime(second)}]'.encode())


def stamped(data: bytes) -> bytes:
    """Return the reply to data (Examples 16.1 and 16.3): b'[timestamp]data'.

    The timestamp is ctime() of this moment; the reply is 26 bytes longer than data.
    """
    return stamp(time_ns() // 10**9) + data


def options(doc: str, host: str, action: str, threads: str = '') -> Namespace:
    """Return the options of the command line, and make the script end gracefully.

    doc is the text for --help, host the default of --host, action what an error will
    have kept the script from, threads the help for --threads where there is one. The
    result has host, port and threads, and for socket() and its methods family and ADDR.
    Raises OSError or UnicodeError where the host is unknown (getaddrinfo(3)).
    """
    while os.open(os.devnull, os.O_RDWR) < 2:  # as in `tsTclnt.py <&- >&-`:
        pass  # no socket is to become the standard input or output
    parser = ArgumentParser(description=doc, formatter_class=RawTextHelpFormatter)
    add = parser.add_argument
    add('--host', default=host, help=f'name or address (default: {host or "any"})')
    add('--port', default=PORT, help='1 to 65535 (default: %(default)s)', type=number)
    if threads:
        add('--threads', default=1, help=threads, type=number, metavar='N')
    args = parser.parse_args(namespace=Namespace(action=action, status=0))
    sys.excepthook = partial(graceful, args)
    for signum in SIGINT, SIGTERM:
        signal(signum, default_int_handler)
    found = getaddrinfo(args.host or any_address(), args.port, type=SOCK_STREAM)
    # As in the book, localhost is 127.0.0.1 first of all.
    args.family, _, _, _, args.ADDR = min(found, key=lambda info: info[4][0] == '::1')
    return args


def number(text: str) -> int:
    """Return the number of an option, or raise ArgumentTypeError."""
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise ArgumentTypeError(f'{text!r} is not a number from 1 to 65535')
    return int(text)


def any_address() -> str:
    """Return '::' where its sockets take IPv4 as well (ipv6(7)), or else '0.0.0.0'."""
    with suppress(OSError), socket(AF_INET6) as probe:
        return '0.0.0.0' if probe.getsockopt(IPPROTO_IPV6, IPV6_V6ONLY) else '::'
    return '0.0.0.0'


def graceful(args: Namespace, kind: type, error: BaseException, _: object) -> None:
    """End the script, as its sys.excepthook: Ctrl-C, SIGTERM and errors come here.

    The with blocks that they leave have closed the sockets. Other threads may still be
    busy with clients, so this does not wait for them as sys.exit() would.
    """
    if kind not in (EOFError, KeyboardInterrupt):
        complain(args, args.action, getattr(error, 'strerror', None) or error)
    elif os.isatty(1):
        os.write(1, b'\n')
    os._exit(args.status)


def complain(args: Namespace, action: str, reason: object) -> None:
    """Print one line on standard error; the script's status will be 1."""
    args.status = 1
    line = f'{action} {args.host or "any address"} port {args.port}: {reason}'
    log(f'{os.path.basename(sys.argv[0])}: {line}', fd=2)


def log(line: str, fd: int = 1) -> None:
    """Print a line at once, and whole, even with many threads.

    Where that cannot be, since its reader has gone, say, the script goes on without.
    """
    with suppress(OSError):
        os.write(fd, f'{line}\n'.encode(errors='backslashreplace'))


def shown(addr: tuple[str, int]) -> tuple[str, int]:
    """Return a client's host and port, an IPv4 address as such (not ::ffff:...)."""
    return addr[0].removeprefix('::ffff:'), addr[1]


def entered(prompt: str) -> Iterator[bytes]:
    """Return the lines of standard input as an iterator, newlines included.

    From a terminal, each is prompted for and can be edited, and their end raises
    EOFError. From elsewhere, a line longer than MSGSIZ comes in parts.
    """
    if not os.isatty(0):
        return iter(partial(open(0, 'rb', closefd=False).readline, MSGSIZ), b'')
    with suppress(ImportError):
        import readline  # noqa: F401 - input() has the arrow keys from it
    sys.stdin = open(0, encoding='utf-8', errors='surrogateescape', closefd=False)
    sys.stdout = sys.stdout if os.isatty(1) else sys.stderr  # input() prompts there
    return iter(lambda: f'{input(prompt)}\n'.encode('utf-8', 'surrogateescape'), b'')


def messages(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Cut lines, which may come in parts, into messages of at most MSGSIZ bytes.

    No message has a newline or ends inside a UTF-8 character (RFC 3629). An empty
    line gives an empty message, and so does the end.
    """
    data = b''
    for part in lines:
        data += part.removesuffix(b'\n')
        while len(data) > MSGSIZ:
            message, data = data[:MSGSIZ], data[MSGSIZ:]
            while 0x80 <= data[0] < 0xC0 and len(message) > MSGSIZ - 3:
                message, data = message[:-1], message[-1:] + data
            yield message
        if part.endswith(b'\n'):
            yield data
            data = b''
    yield data


def show(data: bytes) -> None:
    """Write a reply, or a part of one, to standard output at once."""
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        raise KeyboardInterrupt from None  # who reads has had enough: `... | head -1`
