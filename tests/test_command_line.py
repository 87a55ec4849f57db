"""How the scripts are started: options, hosts, folders, and what can go wrong."""

import ast
import os
import re
import resource
import socket
import subprocess
from pathlib import Path

import pytest
from helpers import (
    CLIENTS,
    PAIRS,
    PATIENCE,
    PYTHON,
    ROOT,
    SERVERS,
    Server,
    command,
    needs_ipv6,
    run,
    unstamped,
)

SCRIPTS = SERVERS + CLIENTS


def outcome(*words: object, **popen) -> subprocess.CompletedProcess:
    """Run a command that ends by itself and return how it did."""
    popen = {'capture_output': True, 'timeout': PATIENCE, 'text': True} | popen
    return subprocess.run([str(word) for word in words], **popen)


@pytest.mark.parametrize('script', SCRIPTS)
def test_help_names_the_example_and_every_option_with_its_default(script):
    host = 'any address' if script in SERVERS else 'localhost'
    printed = help_of(ROOT / script)
    assert re.search(r'\(Example 16\.[1-4]\)', printed)
    assert f'--host HOST  name or address (default: {host})\n' in flat(printed)
    assert '--port PORT  1 to 65535 (default: 21567)\n' in flat(printed)
    threads = '--threads N  clients at once (default: 1)\n'
    assert (threads in flat(printed)) == (script == 'tsTserv.py')


def help_of(script: Path) -> str:
    """Return what a script prints for --help on a screen of 80 columns."""
    result = outcome(*PYTHON, script, '--help', env=os.environ | {'COLUMNS': '80'})
    assert (result.stderr, result.returncode) == ('', 0)
    return result.stdout


def flat(text: str) -> str:
    """Return text with each run of spaces as two."""
    return re.sub('  +', '  ', text)


@pytest.mark.parametrize('host', ['', 'fe80::1%eth0', 'server.example.com'])
@pytest.mark.parametrize('script', SCRIPTS)
def test_help_fits_80_columns_and_breaks_no_word_whatever_host_is(
    script, host, tmp_path
):
    for path in ROOT.glob('*.py'):
        text = path.read_text().replace("HOST = ''", f'HOST = {host!r}')
        (tmp_path / path.name).write_text(text)
    printed = help_of(tmp_path / script)
    assert max(map(len, printed.splitlines())) <= 80
    docstring = ast.get_docstring(ast.parse((ROOT / script).read_text()))
    assert docstring in printed
    assert f'(default: {host})' in printed or not host


NO_PORTS = ['0', '65536', '-1', '+5', ' 5', '1_0', '1.5', '٣', 'http', '', '9' * 5000]


@pytest.mark.parametrize('port', NO_PORTS, ids=lambda port: repr(port[:9]))
def test_a_port_is_a_plain_number_from_1_to_65535(port):
    assert_usage_error('tsTserv.py', f'--port={port}')


@pytest.mark.parametrize('port', ['1', '65535', '021567'])
def test_the_first_and_the_last_port_are_ports(port):
    result = outcome(*command('tsTclnt.py', port, '--host', 'a..b'))
    expect_one_line(result, f'tsTclnt.py: a..b port {int(port)}: Not a host name')


@pytest.mark.parametrize('script', SCRIPTS)
def test_an_option_that_the_script_lacks_is_a_usage_error(script):
    assert_usage_error(script, '--nonsense')
    assert_usage_error(script, 'localhost')


@pytest.mark.parametrize('threads', ['0', '-3', 'many'])
def test_less_than_one_thread_is_a_usage_error(threads):
    assert_usage_error('tsTserv.py', '--threads', threads)


def assert_usage_error(script: str, *options: str) -> None:
    """Check that a script refuses its options in two lines, with status 2."""
    result = outcome(*PYTHON, ROOT / script, *options)
    assert (result.returncode, result.stdout) == (2, '')
    usage, error = result.stderr.splitlines()
    assert usage.startswith(f'usage: {script} ')
    assert error.startswith(f'{script}: error: ')


@pytest.mark.parametrize('script', ['tsUserv.py', *CLIENTS])
def test_threads_are_an_option_of_the_tcp_server_alone(script):
    assert outcome(*PYTHON, ROOT / script, '--threads', '2').returncode == 2


@pytest.mark.parametrize('script', SCRIPTS)
def test_the_script_is_a_command_of_its_own(script):
    first_line = (ROOT / script).read_text().splitlines()[0]
    assert first_line == '#!/usr/bin/env python3'
    assert os.access(ROOT / script, os.X_OK)
    assert outcome(f'./{script}', '--help', cwd=ROOT).returncode == 0


@pytest.mark.parametrize('script', SCRIPTS)
def test_the_script_runs_from_any_folder_and_through_a_link(script, tmp_path):
    (tmp_path / 'link').symlink_to(ROOT / script)
    (tmp_path / 'common.py').write_text('raise ImportError("not this one")')
    assert outcome(*PYTHON, ROOT / script, '--help', cwd=tmp_path).returncode == 0
    assert outcome(*PYTHON, 'link', '--help', cwd=tmp_path).returncode == 0


def expect_one_line(result: subprocess.CompletedProcess, line: str) -> None:
    """Check that a script ended with status 1, and printed this line and no more."""
    assert re.fullmatch(line, result.stderr.rstrip('\n')), result.stderr
    assert (result.stdout, result.returncode) == ('', 1)


@pytest.mark.parametrize('script', SERVERS)
def test_a_port_in_use_is_an_error_of_one_line(script, serve):
    port = serve(script).port
    result = outcome(*command(script, port))
    expect_one_line(
        result,
        f'{script}: any address port {port}: Address already in use',
    )


@pytest.mark.parametrize('script', SERVERS)
def test_an_address_of_another_machine_is_an_error_of_one_line(script):
    result = outcome(*command(script, 21567, '--host', '192.0.2.1'))
    expect_one_line(
        result,
        rf'{script}: 192\.0\.2\.1 port 21567: '
        'Cannot assign requested address',
    )


@pytest.mark.parametrize('script', SERVERS)
def test_a_port_not_permitted_is_an_error_of_one_line(script):
    first_permitted = Path('/proc/sys/net/ipv4/ip_unprivileged_port_start')
    if not first_permitted.exists() or int(first_permitted.read_text()) < 2:
        pytest.skip('every port is permitted here')
    # Also root goes without CAP_NET_BIND_SERVICE: prctl(PR_CAPBSET_DROP, 10).
    drop = 'import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 10, 0, 0, 0)'
    program = f'{drop}; os.execv(sys.argv[1], sys.argv[1:])'
    result = outcome(*PYTHON, '-c', program, *command(script, 1))
    expect_one_line(result, f'{script}: any address port 1: Permission denied')


@pytest.mark.parametrize('host', ['no-such-host.invalid', 'a..b', 'x' * 70, '\udcff'])
@pytest.mark.parametrize('script', SCRIPTS)
def test_an_unknown_host_is_an_error_of_one_line(script, host):
    result = outcome(*command(script, 21567, '--host', host))
    printed = re.escape(host.encode(errors='backslashreplace').decode())
    expect_one_line(result, rf'{script}: {printed} port 21567: [^\n]+')


@pytest.mark.parametrize('host', ['127.0.0.1', pytest.param('::1', marks=needs_ipv6)])
def test_a_refused_connection_is_an_error_of_one_line(host):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with socket.socket(
        family
    ) as taken:  # bound, so nobody else takes it; not listening
        taken.bind((host, 0))
        port = taken.getsockname()[1]
        result = outcome(*command('tsTclnt.py', port, '--host', host))
    expect_one_line(result, f'tsTclnt.py: {host} port {port}: Connection refused')


def test_more_threads_than_the_system_allows_are_an_error_of_one_line(tmp_path):
    def limit_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))

    def ended(server: Server) -> bool:
        return server.process.poll() is not None

    options = '--threads', '9999'
    server = Server(
        tmp_path, 'tsTserv.py', *options, ready=ended, preexec_fn=limit_memory
    )
    assert server.process.returncode == 1
    expected = f"tsTserv.py: any address port {server.port}: can't start new thread\n"
    assert server.errors == expected


HOSTS = ['127.0.0.1', 'localhost', '127.0.0.2', pytest.param('::1', marks=needs_ipv6)]


@pytest.mark.parametrize('host', HOSTS)
def test_a_server_answers_on_every_address_of_its_machine(pair, host):
    result = run(pair.client, pair.server.port, b'hi\n', '--host', host)
    assert unstamped(result.stdout) == b'hi\n', result.stderr
    pair.server.wait_for(f"('{host if host == '::1' else '127.0.0.1'}', ")


@pytest.mark.parametrize('host', HOSTS)
@pytest.mark.parametrize(('server', 'client'), PAIRS)
def test_names_and_addresses_of_both_kinds_work_on_both_sides(
    serve, server, client, host
):
    port = serve(server, '--host', host).port
    result = run(client, port, b'hi\n', '--host', host)
    assert unstamped(result.stdout) == b'hi\n', result.stderr


@pytest.mark.parametrize(('server', 'client'), PAIRS)
def test_a_server_on_one_address_keeps_the_others_private(serve, server, client):
    port = serve(server, '--host', '127.0.0.1').port
    assert run(client, port, b'hi\n', '--host', '127.0.0.1').returncode == 0
    assert run(client, port, b'hi\n', '--host', '127.0.0.2').returncode == 1


LOCALHOST_IS_IPV6_FIRST = """
    import socket

    def getaddrinfo(host, port, **kind):
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, '', ('::1', port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.1', port)),
        ]

    socket.getaddrinfo = getaddrinfo
"""


@pytest.mark.parametrize(('server', 'client'), PAIRS)
def test_localhost_is_127_0_0_1_even_where_the_system_names_ipv6_first(
    serve, before_script, server, client
):
    port = serve(server, '--host', '127.0.0.1').port
    environment = before_script(LOCALHOST_IS_IPV6_FIRST)
    result = run(client, port, b'hi\n', env=environment)
    assert unstamped(result.stdout) == b'hi\n', result.stderr


NO_IPV6 = """
    import errno, socket

    class Socket(socket.socket):
        def __init__(self, family=socket.AF_INET, *args, **kwargs):
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, 'Address family not supported')
            super().__init__(family, *args, **kwargs)

    socket.socket = Socket
"""


@pytest.mark.parametrize(('server', 'client'), PAIRS)
def test_a_server_answers_on_ipv4_where_the_system_has_no_ipv6(
    serve, before_script, server, client
):
    port = serve(server, env=before_script(NO_IPV6)).port
    assert run(client, port, b'hi\n', '--host', '127.0.0.1').returncode == 0


@needs_ipv6
@pytest.mark.parametrize(('server', 'client'), PAIRS)
def test_a_server_answers_on_ipv4_where_ipv6_sockets_take_no_ipv4(
    loopback, serve, server, client
):
    Path('/proc/sys/net/ipv6/bindv6only').write_text('1')
    port = serve(server).port
    assert run(client, port, b'hi\n', '--host', '127.0.0.1').returncode == 0
