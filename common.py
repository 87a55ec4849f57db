"""What the timestamp scripts share: HOST, PORT and BUFSIZ, to be edited, and the timestamp."""

import argparse
import io
import os
import signal
import sys
import threading
from time import ctime, time

HOST = ''  # blank: any IPv4 address of this computer to a server, localhost to a client
PORT = 21567  # the same for a server and its clients
BUFSIZ = 1024  # bytes

latest = (0, b'')  # when the latest timestamp was made, in seconds, and the timestamp


def timestamp():
    """Return the time in brackets as ctime() gives it, b'[Sat Jun 17 17:27:21 2006]'.

    A stamp serves for its whole second: ctime() for each message would slow a server down.
    """
    global latest  # else the assignment below would make a local variable

    now = int(time())
    made, stamp = latest
    if made != now:
        stamp = f'[{ctime(now)}]'.encode()
        latest = (now, stamp)  # in one step: no thread sees a new second with an old stamp
    return stamp


def stamped(data):
    """Return the reply to data (bytes), b'[timestamp]data' (Examples 16.1 and 16.3)."""
    return timestamp() + data


# For the curious. What follows is not about sockets but about the command line, errors,
# Windows, and what is entered and shown. To follow the scripts, the docstrings are enough.


def options(doc, host):
    """Return a parser of the command line, which has --host and --port.

    doc is the text for --help, host the default of --host: blank is any IPv4 address.
    """
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,  # keeps the lines of doc
    )
    default_host = host or 'any IPv4 address'
    default_host = default_host.replace('%', '%%')  # fe80::1%eth0: argparse wants two of a %
    parser.add_argument(
        '--host', type=host_name, default=host, help=f'name or address (default: {default_host})'
    )
    # As text, also an edited PORT is checked by port_number().
    parser.add_argument(
        '--port', type=port_number, default=str(PORT), help=f'1 to 65535 (default: {PORT})'
    )
    return parser


def host_name(text):
    """Return text, the name or address of a host.

    Raises UnicodeError, which argparse reports in one line, if text cannot be encoded as the
    name of a host (RFC 3490): 'é..b' has two dots in a row. For some such names, the socket
    calls would raise TypeError, which is no OSError.
    """
    text.encode('idna')
    return text


def port_number(text):
    """Return the number that text holds.

    Raises ArgumentTypeError, which argparse reports in one line, if no port has that number.
    """
    if text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f'"{text}" is not a number from 1 to 65535')


def error_line(args, why):
    """Return the line that tells of an OSError: the script, where it happened, and why.

    It happened where args says, on a host and port, or to the file that the error names.
    If print() has kept text that cannot be written, the line tells of that instead, and
    standard output is given up: see flush_output().
    """
    output_error = flush_output()
    if output_error:
        why = output_error

    script = os.path.basename(sys.argv[0])
    host = args.host or 'any IPv4 address'
    where = why.filename or f'{host} port {args.port}'
    reason = why.strerror or why  # a time-out, or an error of our own, has no strerror
    return f'{script}: {where}: {reason}'


def flush_output():
    """Write what print() may have kept; return None, or the OSError if that fails.

    If it fails, sys.stdout becomes None for this whole process. Otherwise Python would write
    the text when it ends, and fail again, with lines of its own ("Exception ignored").
    """
    try:
        print(end='', flush=True)  # prints nothing, but writes what was kept
    except OSError as why:
        sys.stdout = None
        why.filename = 'standard output'
        return why
    return None


def set_windows_ctrl_c():
    """On Windows, let Ctrl-C (the signal SIGINT) end the process at once.

    There KeyboardInterrupt would come only after accept(), recv() or recvfrom() (CPython
    issue 85609). The price: no except or finally runs, nor those of a larger program that
    runs the script in the same console.
    """
    if os.name != 'nt':  # not Windows
        return
    # IDLE and notebooks have a stdout of their own. Their Ctrl-C calls Python's own handler of
    # the signal: after the call below, it would do nothing.
    if sys.stdout is not sys.__stdout__:
        return

    if threading.current_thread() is threading.main_thread():  # no other may set a signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # its default: the process ends


def end_line():
    """After Ctrl-C on a terminal, let the shell's prompt begin a line of its own.

    On a terminal or not, write what print() may have kept, or give it up: see flush_output().
    """
    if sys.stdout.isatty():
        print()
    flush_output()


def use_utf8(stream):
    """Let standard input or output be UTF-8, where \\n alone ends a line, on Windows too.

    A byte that is no UTF-8 is read as a stand-in character, which is written as the same
    byte again: 'surrogateescape' (PEP 383). Without the setting of newline, Windows would
    take a \\r for the end of a line, and write \\r\\n for one. The windows of IDLE and Thonny
    stay as they are. So does an input of which a line was read: either it was set before
    that line, or a larger program uses it.
    """
    if not isinstance(stream, io.TextIOWrapper):  # a file, a pipe or a terminal is one
        return

    try:
        stream.reconfigure(encoding='utf-8', errors='surrogateescape', newline='\n')
    except io.UnsupportedOperation:
        pass


def entered(prompt):
    """Return the next line of standard input as bytes, without LF or CRLF at its end.

    A person at a terminal sees the prompt. At the end of input, the line is b'', as after Enter
    alone.
    """
    # Both are missing under pythonw, Windows' Python without a console. And flush_output()
    # may have given up the output.
    if sys.stdin is None or sys.stdout is None:
        return b''

    use_utf8(sys.stdin)
    if sys.stdin.isatty() and sys.stdout.isatty():
        try:
            import readline  # gives input() the arrow keys
        except ImportError:  # Windows has no readline, and needs none for that
            pass
    else:
        prompt = ''

    try:
        line = input(prompt)
    except EOFError:  # Ctrl-D, or the end of a file
        if prompt:
            print()
        return b''
    return line.removesuffix('\r').encode('utf-8', 'surrogateescape')


def show(reply):
    """Print a reply (bytes) at once, on a line of its own.

    Raises OSError, which names 'standard output' as its file, if nobody reads it any more
    or the disk is full.
    """
    use_utf8(sys.stdout)
    errors = 'surrogateescape'
    if not isinstance(sys.stdout, io.TextIOWrapper):
        # By the sign U+FFFD: these windows show no line that has a stand-in character.
        errors = 'replace'

    text = reply.decode('utf-8', errors)
    try:
        print(text.removesuffix('\n'), flush=True)
    except OSError as why:
        why.filename = 'standard output'  # or error_line() might blame the server
        raise
