"""The repository as a reader finds it: the README's commands, the scripts' shape."""

import ast
import re
import shutil
import socket
import subprocess
import sys

import pytest
from helpers import CLIENTS, PATIENCE, ROOT, SERVERS, STAMP, deaf_port

README = (ROOT / 'README.md').read_text()
CONSOLE = '$\n'.join(re.findall(r'```console\n(.*?)```', README, re.DOTALL))
COMMANDS = re.findall(r'^\$ (.*\|.*)\n((?:[^$].*\n)*)', CONSOLE, re.MULTILINE)


@pytest.mark.parametrize(('command', 'output'), COMMANDS)
def test_a_command_in_the_readme_prints_what_the_readme_says(serve, command, output):
    if 'nc ' in command and not shutil.which('nc'):
        pytest.skip('nc is not installed')
    kind = socket.SOCK_DGRAM if 'tsUclnt' in command else socket.SOCK_STREAM
    deaf = deaf_port(kind)
    port = serve('tsTserv.py').port if '[' in output else deaf.getsockname()[1]
    command = re.sub(r'(ts[TU]clnt\.py)', rf'\1 --port {port}', command)
    command = command.replace('python3', sys.executable).replace('21567', str(port))
    result = subprocess.run(
        ['sh', '-c', command], cwd=ROOT, capture_output=True, timeout=PATIENCE
    )
    printed, said = result.stdout + result.stderr, output.encode()
    printed, said = (re.sub(STAMP, b'[]', text) for text in (printed, said))
    assert printed.strip() == said.replace(b'21567', b'%d' % port).strip()


def test_the_readme_shows_the_commands_that_the_other_test_runs():
    assert len(COMMANDS) >= 5


def test_ci_runs_the_test_command_of_the_readme():
    command = re.search(r'^python3 -m venv .*$', README, re.MULTILINE)[0]
    assert command.endswith('&& .venv/bin/pytest')
    assert "grep -m 1 '^python3 -m venv' README.md" in (ROOT / '.ci/run').read_text()


def test_every_file_and_function_that_the_readme_names_is_there():
    for name in set(re.findall(r'`((?:tests/)?[a-zA-Z]+\.(?:py|toml))`', README)):
        assert (ROOT / name).exists() or (ROOT / 'tests' / name).exists(), name
    code = ''.join(path.read_text() for path in ROOT.glob('*.py'))
    for name in 'serve', 'dialog', 'ask', 'stamped', 'exit_on_signal':
        assert f'`{name}(' in README
        assert f'def {name}(' in code


def test_the_top_level_is_exactly_this():
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith('.')}
    scripts = {*SERVERS, *CLIENTS, 'common.py'}
    rest = {'tests', 'README.md', 'pyproject.toml'}
    assert names - {'__pycache__'} == scripts | rest


SOCKET_CALLS = {
    *('socket', 'bind', 'listen', 'accept', 'connect', 'close'),
    *('recv', 'send', 'sendall', 'recvfrom', 'sendto'),
}


def socket_calls(tree: ast.AST) -> list[str]:
    """Return the names of the socket calls in some code, in the order of the lines."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, 'attr', getattr(node.func, 'id', None))
            if name in SOCKET_CALLS:
                found.append((node.lineno, node.col_offset, name))
    return [name for _, _, name in sorted(found)]


def names(tree: ast.AST) -> set[str]:
    """Return the names that some code gives to something."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return {node.id for node in nodes if isinstance(node.ctx, ast.Store)}


def contains_in_order(calls: list[str], expected: list[str]) -> bool:
    """Return whether all expected calls are among these calls, in their order."""
    remaining = iter(calls)
    return all(call in remaining for call in expected)


@pytest.mark.parametrize('script', SERVERS + CLIENTS)
def test_a_script_has_the_names_and_the_calls_of_its_listing_in_their_order(script):
    ours = ast.parse((ROOT / script).read_text())
    listing = ast.parse((ROOT / 'tests/listings' / script).read_text())
    calls = socket_calls(listing)
    calls = ['sendall' if call == 'send' else call for call in calls]
    if script in SERVERS:  # they are closed by a with, and on a signal
        calls = [call for call in calls if call != 'close']
    assert len(calls) >= 4
    assert contains_in_order(socket_calls(ours), calls)
    assert names(listing) - {'HOST', 'PORT', 'BUFSIZ'} <= names(ours)


@pytest.mark.parametrize('script', SERVERS + CLIENTS)
def test_a_script_closes_its_socket_in_sight_when_a_signal_ends_it(script):
    text = (ROOT / script).read_text()
    name = re.search(r'\w+Sock', text)[0]
    assert re.search(rf'exit_on_signal\((lambda: )?{name}\.close', text)


def test_common_py_hides_no_socket_call():
    tree = ast.parse((ROOT / 'common.py').read_text())
    assert socket_calls(tree) == ['socket']  # of which any_address() asks an option
    passed_on = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    assert not passed_on & SOCKET_CALLS


@pytest.mark.parametrize('script', [*SERVERS, *CLIENTS, 'common.py'])
def test_a_script_needs_the_standard_library_and_common_py_alone(script):
    modules = set()
    for node in ast.walk(ast.parse((ROOT / script).read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module)
    assert modules - {'common'} <= {'collections.abc'} | sys.stdlib_module_names
    assert not modules & {'asyncio', 'select', 'selectors', 'socketserver'}
