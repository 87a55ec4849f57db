"""What both servers keep to: replies, the log and whoever reads it, the end."""

import os
import pty
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import helpers
import pytest
from helpers import CAME, STAMP, WAITS, Server, close_with_reset, servers, signals, wait_until

THREADS = {'tsTserv.py': ('--threads', '8'), 'tsUserv.py': ()}


def ask(server: Server, data: bytes) -> bytes:
    """Return the reply to data, sent from a new socket."""
    with server.connect() as client:
        client.send(data)
        return client.recv(65535)


@pytest.mark.departure('no space after `]`', r'\] hi')
@servers
def test_a_message_comes_back_right_behind_the_time(serve, script):
    assert re.fullmatch(STAMP + b'hi', ask(serve(script), b'hi'))


@pytest.mark.departure('data stays bytes', 'UnicodeDecodeError')
@servers
def test_any_bytes_come_back_untouched(serve, script):
    server = serve(script)
    for data in bytes(range(256)), bytes(range(255, -1, -1)), b'\0', b'\r\n', b'\xff\xfe', b'%s':
        assert ask(server, data)[26:] == data


def patterns(script: str) -> tuple[str, str]:
    """Return patterns of the two lines that a server prints: it waits, somebody came."""
    came = re.escape(CAME[script]) + r"\('127\.0\.0\.1', \d+\)\n"
    return re.escape(WAITS[script]) + r'\n', came


@pytest.mark.departure('`flush=True`', 'timed out', unbuffered='')
@pytest.mark.parametrize('unbuffered', ['', '1'], ids=['buffered', 'unbuffered'])
@servers
def test_in_a_pipe_the_log_is_live_and_each_line_whole(serve, script, unbuffered):
    waiting, came = patterns(script)
    writes = [waiting, came, waiting] if script == 'tsTserv.py' else [waiting, came + waiting]
    environment = os.environ | {'PYTHONUNBUFFERED': unbuffered}
    log, output = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # keeps writes apart
    with log, output:
        output.setblocking(True)  # as it has a timeout, it is not
        serve(script, stdout=output, env=environment, ready=lambda s: s.answers(helpers.PATIENCE))
        for write in writes:
            assert re.fullmatch(write, log.recv(65535).decode())


@pytest.mark.departure('`going_on`', 'BrokenPipeError')
@servers
def test_where_nobody_reads_its_log_any_more_it_goes_on(serve, script):
    reader, output = os.pipe()
    os.close(reader)
    server = serve(script, *THREADS[script], stdout=output, ready=Server.answers)
    os.close(output)
    for _ in range(3):
        with server.connect() as lost:
            lost.send(b'hi')
            close_with_reset(lost)
        wait_until(server.answers)


@servers
def test_with_all_standard_streams_closed_it_goes_on(serve, script):
    server = serve(script, preexec_fn=lambda: os.closerange(0, 3), ready=Server.answers)
    wait_until(server.answers)
    for fd in 0, 1, 2:  # and no socket has taken their place
        assert os.readlink(f'/proc/{server.process.pid}/fd/{fd}') == os.devnull


def test_what_a_reader_prints_with_print_is_not_lost_at_the_end(serve, edited):
    call = 'tcpCliSock.recv(BUFSIZ)'
    server = serve('tsTserv.py', root=edited(call, f'(print("read", end=" ") or {call})'))
    with server.connect() as client:  # whose end would let the server print a line
        client.send(b'hi')
        client.recv(1024)
        server.stop()
    assert 'read ' in server.log


@pytest.mark.departure('`exit_on_signal()`', 'KeyboardInterrupt', signum=signal.SIGINT)
@signals
@servers
def test_a_signal_ends_it_with_status_0_and_no_other_word(serve, script, signum):
    server = serve(script)
    wait_until(server.answers)
    assert (server.stop(signum), server.errors) == (0, '')


@servers
def test_no_false_line_ends_the_log_while_clients_come_and_go(serve, script):
    waiting, came = patterns(script)
    both = came if script == 'tsTserv.py' else came + waiting

    def come_and_go(server: Server) -> None:
        while server.process.poll() is None:
            with suppress(OSError), server.connect() as client:
                client.send(b'')  # on UDP, an empty datagram

    for _ in range(5):
        server = serve(script, *THREADS[script])
        with ThreadPoolExecutor(4) as pool:
            pool.map(come_and_go, [server] * 4)
            server.wait_for(CAME[script], times=100)
            assert server.stop(signal.SIGINT) == 0
        assert re.fullmatch(rf'({waiting}|{both})*', f'{server.log}{WAITS[script]}\n')


@signals
@servers
def test_a_signal_ends_it_also_while_nobody_takes_its_output(serve, script, signum):
    reader, output = os.pipe() if signum == signal.SIGTERM else pty.openpty()
    server = serve(script, stdout=output, ready=Server.answers)
    wait_until(lambda: not all(server.answers() for _ in range(100)))
    assert server.stop(signum) == 0
    os.close(output)
    os.close(reader)
