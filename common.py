"""What the timestamp scripts share. HOST, PORT and BUFSIZ are here to be edited."""

import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawTextHelpFormatter
from contextlib import contextmanager, suppress
from errno import EINVAL, EPIPE
from functools import lru_cache
from socket import *
from threading import Lock, Thread, Timer
from time import ctime, sleep, time

HOST = ''  # blank: any address of this machine to a server, localhost to a client
PORT = 21567
BUFSIZ = 1024  # bytes, 31 or more: a stamp (26), a UTF-8 character (4), a newline

# Where the descriptors 0, 1 and 2 are closed, as by `tsTclnt.py <&- >&-`, the null device
# takes them, so that no socket does.
while os.open(os.devnull, os.O_RDWR) < 2:
    pass

# Text is UTF-8, other bytes stay as they are, and \n is a newline on Windows, too.
# And with `python -u`, print() would write each word by itself.
if sys.stdin is sys.__stdin__ and sys.stdout is sys.__stdout__:  # not in IDLE
    sys.stdin = open(0, encoding='utf-8', errors='surrogateescape', newline='\n', closefd=False)
    sys.stdout = open(
        1, 'w', encoding='utf-8', errors='surrogateescape', newline='\n', closefd=False
    )
sys.stderr = sys.stderr or open(2, 'w')  # there is none after `2>&-`


# The command line


def options(doc: str, host: str, threads: bool = False) -> Namespace:
    """Return the options: host, port and, where they are wanted, threads.

    doc is the text for --help, host the default of --host; blank is any address.
    """

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
            raise ArgumentTypeError(f'{text!r} is not a number from 1 to 65535')
        return int(text)

    parser = ArgumentParser(description=doc, formatter_class=RawTextHelpFormatter)
    parser.add_argument(
        '--host',
        default=host,
        help=f'name or address (default: {host or "any address"})'.replace('%', '%%'),
    )
    parser.add_argument(
        '--port', type=number, default=PORT, help='1 to 65535 (default: %(default)s)'
    )
    if threads:
        parser.add_argument(
            '--threads', type=number, default=1, metavar='N', help='clients at once (default: 1)'
        )
    return parser.parse_args()


def address(host: str, port: int) -> tuple:
    """Return the family and the ADDR of a host and port, for socket() and its methods.

    They are AF_INET and (host, port), as in the book, where the host has an IPv4
    address. A blank host is any address. Raises gaierror, an OSError, where the host is
    unknown (getaddrinfo(3)).
    """
    try:
        found = getaddrinfo(host or '0.0.0.0', port, type=SOCK_STREAM)
    except UnicodeError:  # a part of the name is empty or too long
        raise gaierror(EAI_NONAME, 'Not a host name') from None
    # False comes before True, so the first with AF_INET, if there is one. Of its five
    # items, the first is the family and the last is ADDR.
    return min(found, key=lambda info: info[0] != AF_INET)[::4]


# The timestamp

ctime_of = lru_cache(maxsize=1)(ctime)  # remembers the text of the last second


def stamped(data: bytes) -> bytes:
    """Return the reply to data (Examples 16.1 and 16.3): b'[timestamp]data'.

    The timestamp is ctime() of this moment; the reply is 26 bytes longer than data.
    """
    return f'[{ctime_of(int(time()))}]'.encode() + data


# What goes wrong, and what the servers print

printing = Lock()  # print() writes a line in pieces: one thread at a time
going_on = suppress(OSError)  # where nobody reads its log any more, a server goes on


@contextmanager
def errors_reported(args: Namespace, *others):
    """Turn an error of the system or the network into one line and the status 1.

    That is an OSError, or one of the others. args has the host and port to name. Any
    other error, a mistake in the code, keeps its traceback.
    """
    try:
        yield  # here the with block runs
    except (OSError, *others) as why:
        try:
            print(end='', flush=True)  # what was printed before comes first
        except OSError as lost:
            # Its reader may have had enough, as in `tsTclnt.py | head -1`: EPIPE, or on
            # Windows EINVAL.
            os._exit(0 if lost.errno in (EPIPE, EINVAL) else report(args, lost.strerror))
        os._exit(report(args, getattr(why, 'strerror', None) or why))


def report(args: Namespace, reason: object) -> int:
    """Print on standard error the script, the host and port, and what went wrong.

    Return 1, the status of a script in which something did.
    """
    log(
        f'{os.path.basename(sys.argv[0])}: {args.host or "any address"} port {args.port}: {reason}',
        file=sys.stderr,
    )
    return 1


def log(*words: object, **more) -> None:
    """Do as print(), at once and whole with many threads, read or unread."""
    with printing, going_on:
        print(*words, flush=True, **more)


# The end


def exit_on_signal(call) -> None:
    """From now on, let Ctrl-C (SIGINT) and SIGTERM do call() and end the script.

    The status is 0. A thread waits for the signals (sigwait(3)): so one is enough,
    wherever it lands. Where the system has no such wait, Ctrl-C just ends the script.
    Raises OSError where the system allows no more threads.
    """
    if not hasattr(signal, 'sigwait'):  # as on Windows
        return
    # Here, and in threads that start from now on, they are held back until sigwait() asks.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})

    def wait() -> None:
        signum = signal.sigwait({signal.SIGINT, signal.SIGTERM})
        try:
            Timer(1, os._exit, [0]).start()  # the terminal may take no output: Ctrl-S
            printing.acquire()  # for good: no other thread prints any more
            call()
            sleep(0.01)  # a line that is half printed comes to its end
            # The shell's prompt gets a line of its own; your own print()s are not lost.
            print(end='\n' if signum == signal.SIGINT and sys.stdout.isatty() else '', flush=True)
        finally:
            os._exit(0)

    try:
        Thread(target=wait, daemon=True).start()
    except RuntimeError as why:
        raise OSError(why) from None


# What the clients read


def entered(prompt: str):
    """Yield what is entered on standard input, as messages (bytes) without newlines.

    On a terminal, each line is prompted for and can be edited. A line is a message, an
    empty one is b''. Text is UTF-8, and other bytes stay as they are. A line whose
    stamped reply would not fit in BUFSIZ becomes several messages.
    """
    # No datagram holds more than 65507 bytes (udp(7)), no character more than 4.
    size = max(4, min(BUFSIZ, 65507) - len(stamped(b'\n')))
    prompt = prompt if sys.stdin.isatty() and sys.stdout.isatty() else ''
    if prompt and os.isatty(0):  # and not IDLE's window
        edit_lines()
    with suppress(EOFError):
        while True:
            log(end='')  # after a signal, no more prompt: printing is taken for good
            # A line may end in CR LF, and what is pasted can be several.
            for line in input(prompt).removesuffix('\r').strip('\n').split('\n'):
                step = size if line.isascii() else size // 4
                for start in range(0, len(line) or 1, step):
                    yield line[start : start + step].encode('utf-8', 'surrogateescape')
    # After Ctrl-D, the shell's prompt gets a line of its own.
    print(end='\n' if prompt else '')


def edit_lines() -> None:
    """Give input() the arrow keys, and let Ctrl-C leave the terminal as it is now.

    While input() waits at its prompt, readline(3) has echo and editing switched off.
    """
    with suppress(ImportError):  # as on Windows, whose console edits lines itself
        import readline
        import termios

        readline.parse_and_bind('set convert-meta off')  # é is é, also with LC_ALL=C
        settings = termios.tcgetattr(0)

        def restore() -> None:
            if os.tcgetpgrp(0) == os.getpgrp():  # only in the foreground: else it is the shell's
                termios.tcsetattr(0, termios.TCSANOW, settings)

        exit_on_signal(restore)
