"""Where the scripts differ from the listings: each row of the README's table, proven.

A test is named after its row. The listing, provoked, shows the fault; the script,
provoked alike, does not.
"""

import contextlib
import os
import re
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import (
    LISTINGS,
    PAIRS,
    PATIENCE,
    ROOT,
    STAMP,
    STAMPED,
    Server,
    close_with_reset,
    command,
    deaf_port,
    needs_ipv6,
    on_a_free_port,
    read_all,
    run,
    screen,
    start_client,
    terminal,
    udp_socket,
    wait_until,
)


def test_the_readme_has_a_row_for_each_test_here_and_no_other():
    table = (ROOT / 'README.md').read_text().partition('| what happens without it |')[2]
    cells = re.findall(r'^\| (.*?) \|', table.partition('\n\n')[0], re.MULTILINE)
    rows = [re.sub(r'\W+', '_', cell).strip('_').lower() for cell in cells]
    tests = re.findall(r'^def test_(\w+)', Path(__file__).read_text(), re.MULTILINE)
    assert tests == ['the_readme_has_a_row_for_each_test_here_and_no_other', *rows]


@pytest.fixture
def both_tcp(serve, serve_listing):
    """The TCP server of the listings, and the script."""
    return serve_listing('tsTserv.py'), serve('tsTserv.py')


@pytest.fixture
def both_udp(serve, serve_listing):
    """The UDP server of the listings, and the script."""
    return serve_listing('tsUserv.py'), serve('tsUserv.py')


def talk(client: socket.socket, size: int = 1) -> None:
    """Send that many x's on TCP and receive until all of them are back."""
    client.sendall(b'x' * size)
    while size:
        part = client.recv(65536)
        assert part, 'the server has closed the connection'
        size -= part.count(b'x')


def reply(server: Server, data: bytes) -> bytes:
    """Send a datagram to a server and return the one that comes back."""
    with udp_socket() as client:
        client.sendto(data, ('127.0.0.1', server.port))
        return client.recv(65535)


def forge(source: int, server: Server) -> None:
    """Send a datagram to a server that claims to be from that port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        header = struct.pack('!4H', source, server.port, 8 + 2, 0)  # RFC 768
        raw.sendto(header + b'hi', ('127.0.0.1', 0))


def reason_of_the_end(server: Server) -> str:
    """Wait until a server ends by itself and return the last line of its errors."""
    assert server.process.wait(PATIENCE) == 1
    return server.errors.splitlines()[-1]


# The dialog


def test_no_space_after(both_tcp, both_udp):
    with both_tcp[0].connect() as listing, both_tcp[1].connect() as script:
        listing.sendall(b'hi')
        script.sendall(b'hi')
        assert re.fullmatch(STAMP + b' hi', listing.recv(1024))
        assert re.fullmatch(STAMP + b'hi', script.recv(1024))
    listing, script = both_udp
    assert re.fullmatch(STAMP + b' hi', reply(listing, b'hi'))
    assert re.fullmatch(STAMP + b'hi', reply(script, b'hi'))


def test_sendall(serve, serve_listing, before_script):
    environment = before_script(
        """
        import signal

        signal.signal(signal.SIGUSR1, lambda signum, frame: None)
        """
    )

    def lost_in_interrupted_replies(server: Server) -> int:
        with server.connect() as client:
            sent = received = 0
            for _ in range(5):
                client.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    while True:  # until the server is in mid-reply, and blocked
                        sent += client.send(b'x' * 65536)
                server.process.send_signal(signal.SIGUSR1)
                client.settimeout(PATIENCE)
                received += client.recv(2**20).count(b'x')
            client.shutdown(socket.SHUT_WR)
            return sent - received - read_all(client).count(b'x')

    assert lost_in_interrupted_replies(serve_listing('tsTserv.py', env=environment)) > 0
    assert lost_in_interrupted_replies(serve('tsTserv.py', env=environment)) == 0


def test_a_newline_ends_a_message():
    def shown_of_a_reply_in_two_parts(root: Path) -> bytes:
        with socket.create_server(('127.0.0.1', 0)) as server:
            server.settimeout(PATIENCE)
            with start_client('tsTclnt.py', server.getsockname()[1], root) as client:
                client.stdin.write(b'one\ntwo\n\n')
                connection, _ = server.accept()
                connection.settimeout(PATIENCE)
                with connection:
                    connection.recv(1024)
                    shown = b''
                    for part in STAMPED + b'o', b'ne\n', STAMPED + b'two\n':
                        connection.sendall(part)
                        while part not in shown and (byte := client.stdout.read(1)):
                            shown += byte
                shown += client.stdout.read()
                return shown.replace(STAMPED, b'[stamp]')

    # The listing takes the second part for the reply to its second line.
    assert shown_of_a_reply_in_two_parts(LISTINGS) == b'> [stamp]o\n> ne\n\n> '
    assert shown_of_a_reply_in_two_parts(ROOT) == b'[stamp]one\n[stamp]two\n'


@pytest.mark.parametrize(('server', 'client'), PAIRS, ids=['TCP', 'UDP'])
def test_long_lines_are_cut_into_messages(serve_listing, server, client):
    lines = b'x' * 2000 + b'\n2\n\n'
    listing = run(client, serve_listing(server).port, lines, root=LISTINGS).stdout
    script = run(client, serve_listing(server).port, lines).stdout
    if client == 'tsTclnt.py':
        assert not re.search(rb'\] 2\n', listing)  # the rest of the x's is shown there
    else:
        assert listing.count(b'x') < 1024
    assert script.count(b'x') == 2000
    assert re.search(rb'\] 2\n', script)


# The options of a socket


def test_so_reuseaddr(both_tcp):
    for server in both_tcp:
        with server.connect() as client:
            talk(client)
        server.wait_for('waiting for connection...', times=2)
        server.stop()
        assert server.restart()  # as the client had quit first
    listing, script = both_tcp
    with listing.connect() as client, script.connect() as other:
        talk(client)
        talk(other)
        listing.stop()
        script.stop()
        assert not listing.restart()
        assert 'OSError: [Errno 98] Address already in use' in listing.errors
        assert script.restart()


def test_so_keepalive(loopback, both_tcp):
    settings = {'time': 7200, 'intvl': 75, 'probes': 9}  # the defaults: seconds, times
    for name, default in settings.items():
        path = Path(f'/proc/sys/net/ipv4/tcp_keepalive_{name}')
        assert int(path.read_text()) == default
        path.write_text('1')
    listing, script = both_tcp
    with listing.connect() as client, script.connect() as other:
        talk(client)
        talk(other)
        loopback(False)
        script.wait_for('waiting for connection...', times=2)
        assert listing.log.count('waiting for connection...') == 1
        loopback(True)


@pytest.mark.skipif(sys.platform != 'linux', reason='takes Linux')
def test_tcp_nodelay(both_tcp):
    def packets_of_replies(server: Server) -> int:
        with server.connect() as client:
            for _ in range(20):
                talk(client, 3 * 1024)
            info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
            return struct.unpack_from('I', info, 152)[0]  # tcpi_data_segs_in

    listing, script = both_tcp
    assert packets_of_replies(listing) < 20 * 3  # parts have waited for each other
    assert packets_of_replies(script) >= 20 * 3


def test_listen_1024(both_tcp):
    def let_in(server: Server) -> int:
        with contextlib.ExitStack() as stack:
            talk(stack.enter_context(server.connect()))
            selector = stack.enter_context(selectors.DefaultSelector())
            for _ in range(100):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(('127.0.0.1', server.port))
                selector.register(client, selectors.EVENT_WRITE)
            connected = 0
            while connected < 100 and (ready := selector.select(timeout=1.5)):
                for key, _ in ready:
                    selector.unregister(key.fileobj)
                    connected += 1
            return connected

    listing, script = both_tcp
    assert let_in(listing) < 10
    assert let_in(script) == 100


def test_threads_n(serve, serve_listing):
    listing, script = serve_listing('tsTserv.py'), serve('tsTserv.py', '--threads', '2')
    for server in listing, script:
        with server.connect() as first, server.connect() as second:
            talk(first)
            second.sendall(b'x')
            talk(first)
            if server == listing:
                assert server.log.count('connected from') == 1
                first.close()
            assert second.recv(1024).endswith(b'x')


# Clients and datagrams of any kind


def test_errors_of_a_client_end_its_dialog_alone(both_tcp):
    listing, script = both_tcp
    for server in both_tcp:
        client = server.connect()
        talk(client)
        close_with_reset(client)
    assert reason_of_the_end(listing).startswith('ConnectionResetError: ')
    with script.connect() as client:
        talk(client)


def test_no_utf_8_decoding(both_tcp, both_udp):
    listing, script = both_tcp
    with listing.connect() as client, script.connect() as other:
        client.sendall(b'\xff')
        assert reason_of_the_end(listing).startswith('UnicodeDecodeError: ')
        other.sendall(b'\xff')
        assert other.recv(1024).endswith(b']\xff')
    listing, script = both_udp
    with udp_socket() as client:
        client.sendto(b'\xff', ('127.0.0.1', listing.port))
        assert reason_of_the_end(listing).startswith('UnicodeDecodeError: ')
    assert reply(script, b'\xff').endswith(b']\xff')


def test_recvfrom_65535(both_udp):
    listing, script = both_udp
    assert reply(listing, b'x' * 2000).count(b'x') == 1024
    assert reply(script, b'x' * 2000).count(b'x') == 2000


def test_no_reply_to_ports_below_1024_or_its_own(loopback, serve, both_udp):
    listing, script = both_udp
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.settimeout(PATIENCE)
        service.bind(('127.0.0.1', 7))  # echo, which returns what comes (RFC 862)
        service.sendto(b'hi', ('127.0.0.1', listing.port))
        for _ in range(100):
            service.sendto(*service.recvfrom(65535))
        service.recv(65535)
        service.sendto(b'hi', ('127.0.0.1', script.port))
        script.wait_for("not returned to: ('127.0.0.1', 7)")
        service.setblocking(False)
        with pytest.raises(BlockingIOError):
            service.recv(65535)

    forge(listing.port, listing)
    listing.wait_for(f"returned to: ('127.0.0.1', {listing.port})", times=100)
    forge(script.port, script)
    script.wait_for(f"not returned to: ('127.0.0.1', {script.port})")

    forge(0, listing)
    forge(0, script)
    assert reason_of_the_end(listing) == 'OSError: [Errno 22] Invalid argument'
    script.wait_for("not returned to: ('127.0.0.1', 0)")

    other = serve('tsUserv.py')
    forge(other.port, script)
    wait_until(lambda: 'Message too long' in script.log + other.log)
    assert script.log.count('and returned to') > 1000
    assert reply(script, b'hi').endswith(b']hi')


def test_two_seconds_for_a_reply_then_a_new_socket():
    late = b'[Sat Jun 17 17:27:20 2006]'
    with udp_socket() as server:
        port = server.getsockname()[1]
        with (
            start_client('tsUclnt.py', port, LISTINGS) as listing,
            start_client('tsUclnt.py', port) as script,
        ):
            listing.stdin.write(b'one\n')
            assert server.recv(1024) == b'one'
            script.stdin.write(b'one\none\n')
            data, first_addr = server.recvfrom(1024)
            data, second_addr = server.recvfrom(1024)  # two seconds later
            server.sendto(late + data, first_addr)
            server.sendto(STAMPED + data, second_addr)
            shown = script.stdout.readline()
            waits = listing.poll() is None
            listing.kill()
        assert waits
        assert shown == STAMPED + b'one\n'

        with udp_socket() as client:  # with a timeout, but not a new socket
            client.settimeout(0.01)
            client.sendto(b'one', server.getsockname())
            with pytest.raises(TimeoutError):
                client.recv(1024)
            client.settimeout(PATIENCE)
            client.sendto(b'one', server.getsockname())
            for stamp in late, STAMPED:
                data, addr = server.recvfrom(1024)
                server.sendto(stamp + data, addr)
            assert client.recv(1024) == late + b'one'


def test_no_reply_from_another_port():
    def shown_and_asked_next(root: Path) -> tuple[bytes, str]:
        with udp_socket() as server, udp_socket() as stranger:
            with start_client('tsUclnt.py', server.getsockname()[1], root) as client:
                client.stdin.write(b'one\n')
                data, addr = server.recvfrom(1024)
                stranger.sendto(STAMPED + b'not ' + data, addr)
                server.sendto(STAMPED + data, addr)
                shown = client.stdout.readline()
                client.stdin.write(b'two\n')
                asked, _, _ = select.select([server, stranger], [], [], PATIENCE)
                client.kill()
            return shown, 'stranger' if asked == [stranger] else 'server'

    assert shown_and_asked_next(LISTINGS) == (
        b'> ' + STAMPED + b'not one\n',
        'stranger',
    )
    assert shown_and_asked_next(ROOT) == (STAMPED + b'one\n', 'server')


@needs_ipv6
def test_one_socket_for_ipv4_and_ipv6(both_tcp):
    listing, script = both_tcp
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('::1', listing.port), timeout=PATIENCE)
    for host in '127.0.0.1', '::1':
        socket.create_connection((host, script.port), timeout=PATIENCE).close()


# The end, the errors and the screen


def at_the_prompt(client: str, port: int, root: Path, key: str) -> tuple[str, int]:
    """Press a key at a client's prompt; return what the screen shows, and the status.

    The status is None where a signal has ended the client.
    """
    person = terminal(client, port, root)
    person.expect_exact('> ')
    person.send(key)
    return screen(person), person.exitstatus


def test_exit_on_signal(both_tcp):
    listing, script = both_tcp
    for client, port in ('tsTclnt.py', script.port), ('tsUclnt.py', 21567):
        shown, status = at_the_prompt(client, port, LISTINGS, '\x03')
        assert 'Traceback' in shown and 'KeyboardInterrupt' in shown
        assert status != 0
        assert at_the_prompt(client, port, ROOT, '\x03') == ('> \n', 0)
    assert listing.stop(signal.SIGINT) == -signal.SIGINT
    assert listing.errors.startswith('Traceback ')
    assert listing.errors.endswith('KeyboardInterrupt\n')
    assert script.stop(signal.SIGINT) == 0
    assert script.errors == ''


def test_signal_sigint_sig_dfl(before_script):
    environment = before_script(
        """
        import os, signal, sys

        class InterruptedImport:
            def find_spec(name, path=None, target=None):
                if name == 'selectors':  # which the socket module needs
                    os.kill(os.getpid(), signal.SIGINT)

        sys.meta_path.insert(0, InterruptedImport)
        """
    )
    for script in 'tsTserv.py', 'tsTclnt.py', 'tsUserv.py', 'tsUclnt.py':
        listing = run(script, 21567, b'', root=LISTINGS, env=environment)
        assert listing.stderr.startswith(b'Traceback ')
        assert listing.stderr.endswith(b'KeyboardInterrupt\n')
        script = run(script, 21567, b'', env=environment)
        assert (script.returncode, script.stderr) == (-signal.SIGINT, b'')


def test_errors_reported():
    with deaf_port(socket.SOCK_STREAM) as deaf:
        port = deaf.getsockname()[1]
        for script, error in [
            ('tsTserv.py', 'any address port %d: Address already in use'),
            ('tsTclnt.py', 'localhost port %d: Connection refused'),
        ]:
            listing = run(script, port, b'', root=LISTINGS).stderr
            assert listing.startswith(b'Traceback ')
            expected = f'{script}: {error % port}\n'
            assert run(script, port, b'').stderr.decode() == expected


def test_log(serve, serve_listing):
    def log_in_a_pipe(root: Path) -> bytes:
        """Return what a server has printed when it has answered a client."""

        def start(port: int) -> bytes | None:
            words = command('tsTserv.py', port, root=root)
            words = [word for word in words if word != '-u']
            environment = os.environ | {'PYTHONUNBUFFERED': ''}
            pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.DEVNULL}
            with subprocess.Popen(words, env=environment, **pipes) as server:
                wait_until(lambda: server.poll() or answers(port))
                server.kill()
                return server.stdout.read() if server.wait(PATIENCE) < 0 else None

        return on_a_free_port(start)

    assert log_in_a_pipe(LISTINGS) == b''
    assert b'...connected from: ' in log_in_a_pipe(ROOT)

    pipe = {'stdout': subprocess.PIPE, 'ready': first_line}
    listing, script = serve_listing('tsTserv.py', **pipe), serve('tsTserv.py', **pipe)
    for server in listing, script:
        server.process.stdout.close()  # as `tsTserv.py | head -1` does
        server.connect().close()
    assert reason_of_the_end(listing).startswith('BrokenPipeError: ')
    with script.connect() as client:
        talk(client)


def answers(port: int) -> bool:
    """Return whether a TCP server answers there."""
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=PATIENCE) as client:
            client.sendall(b'hi')
            return bool(client.recv(1024))
    except ConnectionError:
        return False


def first_line(server: Server) -> bytes:
    """Return the first line that a server prints into a pipe."""
    return server.process.stdout.readline()


@pytest.mark.parametrize(('server', 'client'), PAIRS, ids=['TCP', 'UDP'])
def test_entered(serve, server, client):
    port = serve(server).port
    listing = run(client, port, b'hi\n', root=LISTINGS)
    assert re.fullmatch(b'> ' + STAMP + b'hi\n> ', listing.stdout)
    assert listing.stderr.endswith(b'EOFError: EOF when reading a line\n')
    script = run(client, port, b'hi\n')
    assert re.fullmatch(STAMP + b'hi\n', script.stdout)
    assert (script.returncode, script.stderr) == (0, b'')
    shown, status = at_the_prompt(client, port, LISTINGS, '\x04')
    assert 'Traceback' in shown and 'EOFError' in shown
    assert status == 1
    assert at_the_prompt(client, port, ROOT, '\x04') == ('> \n', 0)
