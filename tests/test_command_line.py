"""How the scripts are started: options, hosts, folders, and errors of one line."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import CLIENTS, PATIENCE, ROOT, SERVERS, pairs, replies, run, servers

SCRIPTS = SERVERS + CLIENTS
scripts = pytest.mark.parametrize('script', SCRIPTS)
IPV6 = Path('/proc/net/if_inet6')  # lists the machine's addresses
ON_IPV6 = IPV6.exists() and f'{1:032} ' in IPV6.read_text()
needs_ipv6 = pytest.mark.skipif(not ON_IPV6, reason='takes IPv6, and Linux')


@pytest.mark.parametrize(('script', 'host'), [(s, '') for s in SCRIPTS] + [(SCRIPTS[0], '::1%lo')])
def test_help_is_the_docstring_with_every_option_and_its_default(edited, script, host):
    root = edited("HOST = ''", f'HOST = {host!r}')
    result = run(script, 1, '', '--help', root=root, text=True)
    assert (result.stderr, result.returncode) == ('', 0)
    assert max(map(len, result.stdout.splitlines())) <= 80
    docstring = ast.get_docstring(ast.parse((root / script).read_text()))
    assert re.search(r'\(Example 16\.[1-4]\)', docstring)
    assert docstring in result.stdout
    printed = re.sub('  +', '  ', result.stdout)
    default = host or ('any address' if script in SERVERS else 'localhost')
    assert f'--host HOST  name or address (default: {default})\n' in printed
    assert '--port PORT  1 to 65535 (default: 21567)\n' in printed
    threads = '--threads N  clients at once (default: 1)\n'
    assert (threads in printed) == (script == 'tsTserv.py')


USAGE_ERRORS = {script: ['localhost', '--threads=2'] for script in SCRIPTS}
USAGE_ERRORS['tsTserv.py'] = ['localhost', '--threads=0']
USAGE_ERRORS['tsTclnt.py'] += [f'--port={n}' for n in ('0', '65536', '1_0', '٣', '', '9' * 5000)]


@scripts
def test_a_wrong_option_is_an_error_of_two_lines_with_status_2(script):
    for option in USAGE_ERRORS[script]:
        result = run(script, 21567, '', option, text=True)
        assert (result.returncode, result.stdout) == (2, '')
        usage, error = result.stderr.splitlines()
        assert usage.startswith(f'usage: {script} ')
        assert error.startswith(f'{script}: error: ')


@scripts
def test_the_script_is_a_command_that_runs_from_any_folder_and_through_a_link(script, tmp_path):
    (tmp_path / 'link').symlink_to(ROOT / script)
    (tmp_path / 'python3').symlink_to(sys.executable)
    (tmp_path / 'common.py').write_text('raise ImportError("not this one")')
    popen = {'env': os.environ | {'PATH': f'{tmp_path}:{os.environ["PATH"]}'}, 'timeout': PATIENCE}
    for word, folder in (f'./{script}', ROOT), (ROOT / script, tmp_path), ('./link', tmp_path):
        output = subprocess.check_output([word, '--help'], cwd=folder, **popen)
        assert output.startswith(b'usage: ')


def assert_error(script: str, port: int, host: str, reason: str, root=ROOT) -> None:
    """Check that a script with this port and host ends with one line for that reason."""
    options = ('--host', host) if host != 'any address' else ()
    result = run(script, port, b'', *options, root=root)
    assert (result.stdout, result.returncode) == (b'', 1)
    printed = host.encode(errors='backslashreplace').decode()
    expected = re.escape(f'{script}: {printed} port {port}: ') + reason + '\n'
    assert re.fullmatch(expected, result.stderr.decode()), result.stderr.decode()


@pytest.mark.departure('`errors_reported()`', r'Traceback[^$]*OSError: \[Errno 98\]')
@servers
def test_a_port_in_use_is_an_error_of_one_line(script, serve, root):
    assert_error(script, serve(script).port, 'any address', 'Address already in use', root)


NO_HOSTS = 'x' * 70, '\udcff', 'a..b'
ADDRESSES = [(s, 65535, '240.0.0.1', 'Cannot assign requested address') for s in SERVERS]
ADDRESSES += [('tsUclnt.py', 1, host, 'Not a host name') for host in NO_HOSTS]
ADDRESSES += [('tsUclnt.py', 1, 'no-such-host.invalid', r'[^\n]+')]
ADDRESSES += [('tsTclnt.py', 1, 'localhost', 'Connection refused')]


@pytest.mark.parametrize(('script', 'port', 'host', 'reason'), ADDRESSES)
def test_an_address_where_nobody_is_is_an_error_of_one_line(script, port, host, reason):
    assert_error(script, port, host, reason)


NO_MORE_THREADS = """
    import threading
    allowed = [threading.Thread.start] * {allowed}

    def start(thread):
        if not allowed:
            raise RuntimeError("can't start new thread")
        allowed.pop()(thread)

    threading.Thread.start = start
"""


@pytest.mark.parametrize(('script', 'allowed'), [(SERVERS[0], 0), (SERVERS[0], 5), (SERVERS[1], 0)])
def test_a_thread_not_allowed_is_an_error_of_one_line(serve, before_script, script, allowed):
    environment = before_script(NO_MORE_THREADS.format(allowed=allowed))
    options = ('--threads', '9') if script == 'tsTserv.py' else ()
    server = serve(script, *options, env=environment, ready=lambda server: False)
    server.ends = 1, f"{script}: any address port {server.port}: can't start new thread\n"


MISTAKES = dict.fromkeys(SERVERS, ('stamped(data)', 'stamped(dat)', 'NameError')) | {
    'tsTclnt.py': ('sendall(data', "sendall(data.decode('ascii')", 'UnicodeDecodeError'),
    'tsUclnt.py': ('sendto(data', 'sendto(dat', 'NameError'),
}


@pairs
def test_a_mistake_in_the_code_keeps_its_traceback(serve, edited, script, client):
    server_root, client_root = (edited(*MISTAKES[s][:2], s[:-3]) for s in (script, client))
    server = serve(script, root=server_root)
    run(client, server.port, 'é\n'.encode())
    result = run(client, serve(script).port, 'é\n'.encode(), root=client_root)
    server.ends = server.process.wait(PATIENCE), server.errors
    for name, status, errors in (
        (script, *server.ends),
        (client, result.returncode, result.stderr.decode()),
    ):
        assert status == 1
        assert errors.startswith('Traceback (most recent call last):\n')
        assert re.search(rf'File ".*/{name}", line \d+', errors)
        assert f'\n{MISTAKES[name][2]}: ' in errors


def assert_it_answers(port: int, client: str, *hosts: str, **popen) -> None:
    """Check that a client that asks these hosts has its reply."""
    for host in hosts:
        assert replies(run(client, port, b'hi\n', '--host', host, **popen)) == b'hi\n'


@pairs
def test_a_server_answers_on_every_ipv4_address_of_its_machine(serve, script, client):
    assert_it_answers(serve(script).port, client, '127.0.0.1', 'localhost', '127.0.0.2')


@pytest.mark.parametrize('host', ['localhost', pytest.param('::1', marks=needs_ipv6)])
@pairs
def test_a_server_on_one_address_keeps_the_others_private(serve, script, client, host):
    port = serve(script, '--host', host).port
    assert_it_answers(port, client, host)
    assert run(client, port, b'hi\n', '--host', '127.0.0.2').returncode == 1


@needs_ipv6
@pairs
def test_with_two_colons_as_its_host_a_server_answers_on_ipv6_and_ipv4(serve, script, client):
    assert_it_answers(serve(script, '--host', '::').port, client, '::1', '127.0.0.1')


BOTH_FAMILIES = """
    import socket

    socket.getaddrinfo = lambda host, port, **kind: [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, '', ('2001:db8::1', port, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.2', port)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.1', port)),
    ]
"""


@pairs
def test_a_name_of_both_families_is_its_first_ipv4_address(serve, before_script, script, client):
    environment = before_script(BOTH_FAMILIES)
    port = serve(script, '--host', 'both', env=environment).port
    assert_it_answers(port, client, 'both', env=environment)
    assert_it_answers(port, client, '127.0.0.2')
