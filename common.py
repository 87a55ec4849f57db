"""What the timestamp scripts share. HOST, PORT and BUFSIZ are here to be edited."""

import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from argparse import RawDescriptionHelpFormatter as RawDescription
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from socket import *
from threading import Lock, Thread
from time import ctime, time
from typing import Any, NoReturn, TextIO

HOST = ''  # blank: any address of this machine to a server, localhost to a client
PORT = 21567
BUFSIZ = 1024  # bytes, 31 or more: a stamp (26), a UTF-8 character (4), a newline

# As in `tsTclnt.py <&- >&-`: no socket is to become the standard input or output.
while os.open(os.devnull, os.O_RDWR) < 2:
    pass


# The command line


def command_line(doc: str, host: str) -> ArgumentParser:
    """Return the parser of the options that all scripts have: --host and --port.

    doc is the text for --help, host the default of --host; blank is any address.
    """
    parser = ArgumentParser(description=doc, formatter_class=RawDescription)
    default = (host or 'any address').replace('%', '%%')  # as in fe80::1%eth0
    parser.add_argument(
        '--host', default=host, help=f'name or address (default: {default})'
    )
    parser.add_argument(
        '--port', type=number, default=PORT, help='1 to 65535 (default: %(default)s)'
    )
    return parser


def number(text: str) -> int:
    """Return the number of an option, or raise ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise ArgumentTypeError(f'{text!r} is not a number from 1 to 65535')
    return int(text)


def address(host: str, port: int) -> tuple[AddressFamily, tuple[Any, ...]]:
    """Return the family and the ADDR of a host and port, for socket() and its methods.

    A blank host is any address. Raises gaierror, an OSError, where the host is unknown
    (getaddrinfo(3)).
    """
    try:
        found = getaddrinfo(host or any_address(), port, type=SOCK_STREAM)
    except UnicodeError:  # a part of the name is empty or too long
        raise gaierror(EAI_NONAME, 'Not a host name') from None
    # The book's localhost is 127.0.0.1, also where the system names ::1 first.
    found.sort(key=lambda info: info[4][0] == '::1')
    family, _, _, _, ADDR = found[0]
    return family, ADDR


def any_address() -> str:
    """Return '::' where its sockets take IPv4 as well (ipv6(7)), or else '0.0.0.0'."""
    try:
        with socket(AF_INET6) as probe:
            ipv6_only = probe.getsockopt(IPPROTO_IPV6, IPV6_V6ONLY)
    except OSError:
        return '0.0.0.0'
    return '0.0.0.0' if ipv6_only else '::'


# The timestamp


def stamped(data: bytes) -> bytes:
    """Return the reply to data (Examples 16.1 and 16.3): b'[timestamp]data'.

    The timestamp is ctime() of this moment; the reply is 26 bytes longer than data.
    """
    return stamp(int(time())) + data


@lru_cache(maxsize=1)  # so it is formatted once a second, not once a message
def stamp(second: int) -> bytes:
    """Return the timestamp of a second since the epoch (time(2)) in brackets."""
    return f'[{ctime(second)}]'.encode()


# What goes wrong, and what the servers print

printing = Lock()


@contextmanager
def errors_reported(args: Namespace) -> Iterator[None]:
    """Turn an error of the system or the network into one line and the status 1.

    args has the host and port to name. Other errors, which are mistakes in the code,
    keep their traceback.
    """
    try:
        yield
    except OSError as why:
        report(args, why.strerror or why)
        leave(1)


def report(args: Namespace, reason: object) -> None:
    """Print on standard error the script, the host and port, and what went wrong."""
    script = os.path.basename(sys.argv[0])
    log(f'{script}: {args.host or "any address"} port {args.port}: {reason}', fd=2)


def log(text: str, fd: int = 1) -> None:
    """Print a line, or several, at once and in one write, whole even with many threads.

    Where that cannot be, since its reader has gone, say, the script goes on without.
    """
    data = f'{text}\n'.encode(errors='backslashreplace')
    with printing:
        try:
            os.write(fd, data)
        except OSError:
            pass


def host_and_port(addr: tuple[Any, ...]) -> tuple[str, int]:
    """Return a client's host and port, an IPv4 address as such (not ::ffff:...)."""
    return addr[0].removeprefix('::ffff:'), addr[1]


# The end


def exit_on_signal(*calls: Callable[[], object]) -> None:
    """From now on, let Ctrl-C (SIGINT) and SIGTERM do these calls and end the script.

    The status is 0. A thread waits for the signals (sigwait(3)): so one is enough,
    wherever it lands. Where the system has no such wait, Ctrl-C just ends the script.
    """
    if not hasattr(signal, 'sigwait'):  # as on Windows
        return
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # here and in each new thread

    def wait() -> None:
        signal.sigwait(signals)
        printing.acquire(timeout=1)  # whoever finds its socket closed says no more
        try:
            for call in calls:
                call()
            next_line()
        finally:
            leave(0)

    Thread(target=wait, daemon=True).start()


def terminal_restorer() -> Callable[[], None]:
    """Return a function that lets the terminal echo and edit again as it does now.

    While input() waits at its prompt, readline(3) has that switched off.
    """
    try:
        import termios
    except ImportError:  # as on Windows: nothing is switched off there
        return lambda: None
    settings = termios.tcgetattr(0)

    def restore() -> None:
        # Without this, a job in the background would be stopped instead of ended.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        termios.tcsetattr(0, termios.TCSANOW, settings)

    return restore


def next_line() -> None:
    """On a terminal, put the cursor on a line of its own, for the shell's prompt."""
    if sys.stdout and sys.stdout.isatty():
        print()


def leave(status: int) -> NoReturn:
    """End the script at once with a status, whatever its other threads are doing."""
    with suppress(OSError):
        print(end='', flush=True)  # what you print() yourself is not lost
    os._exit(status)


# What the clients read and show


def entered(prompt: str) -> Iterator[bytes]:
    """Yield what is entered on standard input, as messages without newlines.

    On a terminal, each line is prompted for and can be edited. A line is a message, an
    empty one is b''. Text is UTF-8, and other bytes stay as they are. A line whose
    stamped reply would not fit in BUFSIZ becomes several messages.
    """
    # No datagram holds more than 65507 bytes (udp(7)), no character more than 4.
    size = max(4, min(BUFSIZ, 65507) - len(stamped(b'\n')))
    file = open(
        0, encoding='utf-8', errors='surrogateescape', newline='\n', closefd=False
    )
    for line in prompted(file, prompt) if os.isatty(0) else file:
        text = line.removesuffix('\n')
        step = size if text.isascii() else size // 4
        for start in range(0, len(text) or 1, step):
            yield text[start : start + step].encode('utf-8', 'surrogateescape')


def prompted(file: TextIO, prompt: str) -> Iterator[str]:
    """Yield the lines that are typed into file, the terminal, until Ctrl-D."""
    with suppress(ImportError):
        import readline  # noqa: F401 - input() has the arrow keys from it
    sys.stdin = file
    if not os.isatty(1):  # as in `tsTclnt.py > replies`: prompt on the terminal
        sys.stdout = open(2, 'w', closefd=False)
    with suppress(EOFError):
        while True:
            yield input(prompt)
    next_line()


def show(data: bytes) -> None:
    """Write a reply, or a part of one, to standard output at once."""
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:  # who reads has had enough: `... | head -1`
        leave(0)
