"""What both servers keep to: their log, whoever reads it, and their end."""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import helpers
import pytest
from helpers import (
    PAIRS,
    Server,
    close_with_reset,
    pairs,
    run,
    send_until_blocked,
    signals,
    udp_socket,
    unstamped,
    wait_until,
)

ADDR = r"\('127\.0\.0\.1', \d+\)"
WRITES = {  # patterns
    'tsTserv.py': [
        r'waiting for connection\.\.\.',
        rf'\.\.\.connected from: {ADDR}',
        r'waiting for connection\.\.\.',
    ],
    'tsUserv.py': [
        r'waiting for message\.\.\.',
        rf'\.\.\.received from and returned to: {ADDR}\nwaiting for message\.\.\.',
    ],
}


def answers(server: Server) -> bool:
    """Return whether a client is answered."""
    client = dict(PAIRS)[server.script]
    return unstamped(run(client, server.port, b'hi\n').stdout) == b'hi\n'


def assert_it_goes_on(server: Server) -> None:
    """Check that clients are answered; the fixture checks that the server ends well."""
    for _ in range(3):
        assert answers(server)


@pytest.mark.parametrize('unbuffered', ['', '1'], ids=['buffered', 'unbuffered'])
@pairs
def test_in_a_pipe_the_log_is_live_and_each_line_whole(serve, script, client, unbuffered):
    environment = os.environ | {'PYTHONUNBUFFERED': unbuffered}
    log, output = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.settimeout(helpers.PATIENCE)
    with log, output:  # in which a write is a datagram
        serve(script, stdout=output, env=environment, ready=answers)
        for write in WRITES[script]:
            assert re.fullmatch(rf'{write}\n', log.recv(65535).decode())


@pytest.mark.parametrize('threads', [(), ('--threads', '4')], ids=['1', '4'])
@pairs
def test_when_the_reader_of_its_log_has_gone_it_goes_on(serve, script, client, threads):
    def first_line(server: Server) -> bytes:
        return server.process.stdout.readline()

    options = threads if script == 'tsTserv.py' else ()
    server = serve(script, *options, stdout=subprocess.PIPE, ready=first_line)
    server.process.stdout.close()  # as `tsTserv.py | head -1` does
    if script == 'tsTserv.py':
        lost = server.connect()
        lost.sendall(b'hi')
        close_with_reset(lost)
    assert_it_goes_on(server)


@pairs
def test_when_the_disk_is_full_it_goes_on(serve, script, client):
    with open('/dev/full', 'wb') as full:
        server = serve(script, stdout=full, ready=answers)
    assert_it_goes_on(server)


@pairs
def test_with_all_standard_streams_closed_it_goes_on(serve, script, client):
    server = serve(script, preexec_fn=lambda: os.closerange(0, 3), ready=answers)
    assert_it_goes_on(server)
    for fd in 0, 1, 2:  # and no socket has taken their place
        assert os.readlink(f'/proc/{server.process.pid}/fd/{fd}') == os.devnull


@pairs
def test_what_a_reader_prints_with_print_is_not_lost_at_the_end(tmp_path, edited, script, client):
    call = {'tsTserv.py': 'tcpCliSock.recv(BUFSIZ)', 'tsUserv.py': 'stamped(data)'}[script]
    root = edited(call, f'(print("read", end=" ") or {call})')
    server = Server(tmp_path, script, root=root)
    run(client, server.port, b'hi\n')
    assert server.stop() == 0
    assert 'read ' in server.log


# The end


@signals
@pairs
def test_a_signal_ends_it_with_status_0_and_no_other_word(tmp_path, root, script, client, signum):
    server = Server(tmp_path, script, root=root)
    assert answers(server)
    assert server.stop(signum) == 0
    assert server.errors == ''


@signals
@pytest.mark.parametrize('threads', ['1', '4'])
def test_a_signal_ends_the_tcp_server_whatever_its_clients_do(serve, threads, signum):
    server = serve('tsTserv.py', '--threads', threads)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(4)]
        send_until_blocked(clients[0])
        for client in clients[1:]:
            client.sendall(b'hi')
        assert server.stop(signum) == 0


@pairs
def test_no_false_line_ends_the_log_while_clients_come_and_go(tmp_path, script, client):
    options = ('--threads', '8') if script == 'tsTserv.py' else ()
    for _ in range(5):
        server = Server(tmp_path, script, *options)

        def come_and_go(_: int, server=server) -> None:
            with contextlib.suppress(OSError), udp_socket() as peer:
                while server.process.poll() is None:
                    if script == 'tsTserv.py':
                        server.connect().close()
                    else:
                        peer.sendto(b'hi', ('127.0.0.1', server.port))

        with ThreadPoolExecutor(4) as pool:
            pool.map(come_and_go, range(4))
            server.wait_for("('127.0.0.1', ", times=100)
            assert server.stop(signal.SIGINT) == 0
        waiting, *_ = server.log.splitlines()  # the log may end before that line
        lines = '|'.join(WRITES[script])
        assert re.fullmatch(rf'(({lines})\n)*', f'{server.log}{waiting}\n')
        assert server.errors == ''


@signals
@pairs
def test_a_signal_ends_it_also_while_nobody_takes_its_output(serve, script, client, signum):
    reader, output = os.pipe() if signum == signal.SIGTERM else pty.openpty()
    server = serve(script, stdout=output, ready=answers)
    wait_until(lambda: stands_still(server))
    assert server.stop(signum) == 0
    os.close(output)
    os.close(reader)


def stands_still(server: Server) -> bool:
    """Let clients make a server print a hundred lines; return whether one waits."""
    kind = socket.SOCK_STREAM if server.script == 'tsTserv.py' else socket.SOCK_DGRAM
    for _ in range(100):
        with socket.socket(socket.AF_INET, kind) as client:
            client.settimeout(0.5)
            client.connect(('127.0.0.1', server.port))
            client.send(b'hi')
            try:
                client.recv(1024)
            except TimeoutError:
                return True
    return False
