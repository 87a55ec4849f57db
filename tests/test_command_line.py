"""How the scripts are started: options, hosts, folders, and what can go wrong."""

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
    command,
    free_port,
    needs_ipv6,
    run,
    unstamped,
)

SCRIPTS = SERVERS + CLIENTS


def start(*words: object, **popen) -> subprocess.CompletedProcess:
    """Run a command that is to end by itself."""
    popen = {'capture_output': True, 'timeout': PATIENCE, 'text': True} | popen
    return subprocess.run([str(word) for word in words], **popen)


@pytest.mark.parametrize('script', SCRIPTS)
def test_help_names_the_example_and_every_option(script):
    result = start(*PYTHON, ROOT / script, '--help')
    assert result.returncode == 0
    assert re.search(r'\(Example 16\.[1-4]\)', result.stdout)
    assert '--host HOST' in result.stdout
    assert '--port PORT' in result.stdout
    assert ('--threads N' in result.stdout) == (script == 'tsTserv.py')
    assert max(map(len, result.stdout.splitlines())) <= 88


@pytest.mark.parametrize('script', SCRIPTS)
@pytest.mark.parametrize(
    'options',
    [
        ['--port', '0'],
        ['--port', '99999'],
        ['--port', '65536'],
        ['--port', '-1'],
        ['--port', 'http'],
        ['--port', '1.5'],
        ['--port', ''],
        ['--port', '9' * 5000],
        ['--port'],
        ['--host'],
        ['--threads', '0'],
        ['--threads', '-3'],
        ['--threads', 'many'],
        ['--nonsense'],
        ['localhost'],
    ],
    ids=lambda options: ' '.join(options)[:20],
)
def test_a_wrong_option_is_a_usage_error(script, options):
    result = start(*PYTHON, ROOT / script, *options)
    assert result.returncode == 2
    assert result.stdout == ''
    assert result.stderr.startswith(f'usage: {script} ')
    assert f'{script}: error: ' in result.stderr
    assert len(result.stderr) < 6000


@pytest.mark.parametrize('script', ['tsUserv.py', *CLIENTS])
def test_threads_are_an_option_of_the_tcp_server_alone(script):
    assert start(*PYTHON, ROOT / script, '--threads', '2').returncode == 2


@pytest.mark.parametrize('script', SCRIPTS)
def test_the_script_is_a_command_of_its_own(script):
    first_line = (ROOT / script).read_text().splitlines()[0]
    assert first_line == '#!/usr/bin/env python3'
    assert os.access(ROOT / script, os.X_OK)
    assert start(f'./{script}', '--help', cwd=ROOT).returncode == 0


@pytest.mark.parametrize('script', SCRIPTS)
def test_the_script_runs_from_any_folder_and_through_a_link(script, tmp_path):
    (tmp_path / 'link').symlink_to(ROOT / script)
    (tmp_path / 'common.py').write_text('raise ImportError("not this one")')
    assert start(*PYTHON, ROOT / script, '--help', cwd=tmp_path).returncode == 0
    assert start(*PYTHON, 'link', '--help', cwd=tmp_path).returncode == 0


def expect_one_line(result: subprocess.CompletedProcess, line: str) -> None:
    """Check that a script ended with status 1, and printed this line and no more."""
    assert re.fullmatch(line, result.stderr.rstrip('\n')), result.stderr
    assert (result.stdout, result.returncode) == ('', 1)


@pytest.mark.parametrize('script', SERVERS)
def test_a_port_in_use_is_an_error_of_one_line(script, serve):
    port = serve(script).port
    result = start(*command(script, port))
    expect_one_line(
        result,
        f'{script}: cannot serve on any address port {port}: Address already in use',
    )


@pytest.mark.parametrize('script', SERVERS)
def test_an_address_of_another_machine_is_an_error_of_one_line(script):
    result = start(*command(script, 21567, '--host', '192.0.2.1'))
    expect_one_line(
        result,
        rf'{script}: cannot serve on 192\.0\.2\.1 port 21567: '
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
    result = start(*PYTHON, '-c', program, *command(script, 1))
    expect_one_line(
        result, f'{script}: cannot serve on any address port 1: Permission denied'
    )


@pytest.mark.parametrize('host', ['no-such-host.invalid', 'a..b', 'x' * 70])
@pytest.mark.parametrize('script', SCRIPTS)
def test_an_unknown_host_is_an_error_of_one_line(script, host):
    result = start(*command(script, 21567, '--host', host))
    expect_one_line(
        result, rf'{script}: cannot [a-z]+ [a-z]+ {host} port 21567: [^\n]+'
    )


@pytest.mark.parametrize('host', ['127.0.0.1', pytest.param('::1', marks=needs_ipv6)])
def test_a_refused_connection_is_an_error_of_one_line(host):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with socket.socket(
        family
    ) as taken:  # bound, so nobody else takes it; not listening
        taken.bind((host, 0))
        port = taken.getsockname()[1]
        result = start(*command('tsTclnt.py', port, '--host', host))
    expect_one_line(
        result, f'tsTclnt.py: cannot connect to {host} port {port}: Connection refused'
    )


def test_more_threads_than_the_system_allows_are_an_error_of_one_line():
    def limit_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))

    port = free_port()
    words = command('tsTserv.py', port, '--threads', '9999')
    result = start(*words, preexec_fn=limit_memory)
    assert result.returncode == 1
    expected = f'tsTserv.py: cannot serve on any address port {port}: '
    assert re.fullmatch(f"{expected}can't start new thread\n", result.stderr)


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
