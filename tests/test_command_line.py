"""How the scripts are started: options, hosts, and errors of one line."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import helpers
import pytest
from helpers import CLIENTS, ROOT, SERVERS, departure, pairs, run, servers, unstamped

SCRIPTS = SERVERS + CLIENTS
scripts = pytest.mark.parametrize('script', SCRIPTS)


@scripts
def test_help(script):
    ended = run(ROOT, script, 21567, b'', '--help')

    printed = ended.stdout.decode()
    assert ast.get_docstring(ast.parse((ROOT / script).read_text())) in printed
    default_host = 'any IPv4 address' if script in SERVERS else 'localhost'
    assert f'(default: {default_host})' in printed
    assert '1 to 65535 (default: 21567)' in printed
    assert ('--threads' in printed) == (script == 'tsTserv.py')
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert (ended.stderr, ended.returncode) == (b'', 0)


def test_percent_in_host(edited):
    """The name of a network card is part of some IPv6 addresses."""
    folder = edited("HOST = ''", "HOST = 'fe80::1%eth0'")

    ended = run(folder, 'tsTserv.py', 21567, b'', '--help')

    assert b'(default: fe80::1%eth0)' in ended.stdout
    assert ended.stderr == b''


WRONG = ['--port=0', '--port=65536', '--port=x', '--port=', '--host=b\udcff', '--host=..', '--x']


@pytest.mark.parametrize('option', WRONG)
@scripts
def test_wrong_option(script, option):
    ended = run(ROOT, script, 21567, b'', option)

    usage, _, error = ended.stderr.decode().partition(f'{script}: error: ')
    assert usage.startswith(f'usage: {script} ')
    assert error.count('\n') == 1
    assert (ended.stdout, ended.returncode) == (b'', 2)


@pytest.mark.parametrize('script', ['tsUserv.py', *CLIENTS])
def test_threads_are_for_the_tcp_server(script):
    ended = run(ROOT, script, 21567, b'', '--threads')

    assert ended.stderr.decode().endswith('error: unrecognized arguments: --threads\n')
    assert ended.returncode == 2


@pytest.mark.parametrize('port', ['80000', "'x'", 'None'])
@scripts
def test_wrong_port_in_common(script, port, edited):
    folder = edited('PORT = 21567', f'PORT = {port}')

    ended = subprocess.run(
        [sys.executable, folder / script], capture_output=True, timeout=helpers.PATIENCE
    )

    port = port.strip("'")
    assert ended.stderr.decode().endswith(
        f'error: argument --port: "{port}" is not a number from 1 to 65535\n'
    )
    assert ended.returncode == 2


@scripts
def test_command_from_any_folder(script, tmp_path):
    """Each script is a command, also by a link, and takes its own common.py."""
    (tmp_path / 'link').symlink_to(ROOT / script)
    (tmp_path / 'python3').symlink_to(sys.executable)
    (tmp_path / 'common.py').write_text('raise ImportError("not this one")')
    path = os.environ | {'PATH': f'{tmp_path}:{os.environ["PATH"]}'}

    for word in [ROOT / script, './link']:
        printed = subprocess.check_output(
            [word, '--help'], cwd=tmp_path, env=path, text=True, timeout=helpers.PATIENCE
        )
        assert printed.startswith('usage: ')


@departure('`except OSError`', seen='Traceback')
@servers
def test_port_in_use(serve, folder, script):
    port = serve(script).port

    ended = run(folder, script, port, b'')

    error = ended.stderr.decode()
    assert error == f'{script}: any IPv4 address port {port}: Address already in use\n'
    assert ended.returncode == 1


NOWHERE = {
    'tsTserv.py': ('240.0.0.1', 'Cannot assign requested address'),
    'tsUserv.py': ('240.0.0.1', 'Cannot assign requested address'),
    'tsTclnt.py': ('127.0.0.1', 'Connection refused'),
    'tsUclnt.py': ('no-such-host.invalid', '.*'),
}


@scripts
def test_host_where_nobody_is(script):
    host, reason = NOWHERE[script]

    ended = run(ROOT, script, 1023, b'hi\n', '--host', host)

    assert re.fullmatch(f'{script}: {host} port 1023: {reason}\n', ended.stderr.decode())
    assert (ended.stdout, ended.returncode) == (b'', 1)


@pairs
def test_any_ipv4_address(serve, script, client):
    """By default, a server is reached at each IPv4 address of its computer."""
    port = serve(script).port

    for host in ['localhost', '127.0.0.1', '127.0.0.2']:
        assert unstamped(run(ROOT, client, port, b'hi\n', '--host', host).stdout) == b'hi\n'


@pairs
def test_one_address(serve, script, client):
    """A server on one address is not reached at others."""
    port = serve(script, '--host', '127.0.0.2').port

    there = run(ROOT, client, port, b'hi\n', '--host', '127.0.0.2')
    elsewhere = run(ROOT, client, port, b'hi\n', '--host', '127.0.0.3')

    assert unstamped(there.stdout) == b'hi\n'
    assert (elsewhere.stdout, elsewhere.returncode) == (b'', 1)


IPV6 = Path('/proc/net/if_inet6')  # lists the machine's addresses
needs_ipv6 = pytest.mark.skipif(
    not IPV6.exists() or f'{1:032x} ' not in IPV6.read_text(), reason='takes Linux and IPv6'
)


@needs_ipv6
@pairs
def test_ipv6(serve, script, client):
    port = serve(script, '--host', '::1').port

    ended = run(ROOT, client, port, b'hi\n', '--host', '::1')

    assert unstamped(ended.stdout) == b'hi\n'


@needs_ipv6
@pairs
def test_ipv6_and_ipv4(serve, script, client):
    port = serve(script, '--host', '::').port

    for host in ['::1', '127.0.0.1']:
        assert unstamped(run(ROOT, client, port, b'hi\n', '--host', host).stdout) == b'hi\n'
