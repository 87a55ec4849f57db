"""The repository as a reader finds it: the README's commands, and what belongs where."""

import ast
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from helpers import CLIENTS, PATIENCE, ROOT, SERVERS, STAMP

README = (ROOT / 'README.md').read_text()
CONSOLE = '$\n'.join(re.findall(r'```console\n(.*?)```', README, re.DOTALL))
COMMANDS = re.findall(r'^\$ (.*\|.*)\n((?:[^$].*\n)*)', CONSOLE, re.MULTILINE)
SOCKET_CALLS = 'socket bind listen accept connect recv send sendall recvfrom sendto close'


@pytest.mark.parametrize(('command', 'output'), COMMANDS)
def test_a_command_in_the_readme_prints_what_the_readme_says(tcp, command, output):
    if 'nc ' in command and not shutil.which('nc'):
        pytest.skip('takes nc')
    command = re.sub(r'(ts[TU]clnt\.py)', rf'\1 --port {tcp.port}', command)
    python = shlex.quote(sys.executable)
    command = command.replace('python3', python).replace('21567', f'{tcp.port}')
    result = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, timeout=PATIENCE)
    printed, said = result.stdout + result.stderr, output.encode()
    assert re.sub(STAMP, b'[]', printed.strip()) == re.sub(STAMP, b'[]', said.strip())


def test_every_file_and_function_that_the_readme_names_is_there():
    for name in set(re.findall(r'`((?:tests/)?\w+\.(?:py|toml))`', README)):
        assert (ROOT / name).exists() or (ROOT / 'tests' / name).exists(), name
    code = ''.join(path.read_text() for path in ROOT.glob('*.py'))
    for name in set(re.findall(r'`(\w+)\(', README)):
        assert re.search(rf'\b{name}\(', code), name


def test_the_top_level_is_exactly_this():
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith('.')}
    scripts = {*SERVERS, *CLIENTS, 'common.py'}
    assert names - {'__pycache__'} == scripts | {'tests', 'README.md', 'pyproject.toml'}


def test_common_py_hides_no_socket_call():
    for node in ast.walk(ast.parse((ROOT / 'common.py').read_text())):
        name = getattr(node, 'attr', None) or getattr(getattr(node, 'func', None), 'id', None)
        assert name not in SOCKET_CALLS.split()


@pytest.mark.parametrize('script', [*SERVERS, *CLIENTS, 'common.py'])
def test_a_script_needs_the_standard_library_and_common_py_alone(script):
    modules = set()
    for node in ast.walk(ast.parse((ROOT / script).read_text())):
        modules |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        modules |= {node.module} if isinstance(node, ast.ImportFrom) else set()
    assert modules - {'common'} <= sys.stdlib_module_names
    assert not modules & {'asyncio', 'select', 'selectors', 'socketserver'}


@pytest.mark.timeout(180)
def test_the_benchmark_at_its_quickest_prints_the_rows_that_the_readme_has():
    # timeout(1) ends its servers, too.
    words = ['timeout', '150', sys.executable, ROOT / 'tests/benchmark.py', '--effort', '1']
    result = subprocess.run(words, capture_output=True, text=True)
    assert (result.stderr, result.returncode) == ('', 0)

    def rows(text: str) -> list[tuple[str, str]]:
        found = re.findall(r'^\| (TCP|UDP)(, .*?) \| (.*?) \| [\d.]+ \|$', text, re.MULTILINE)
        return [(kind + re.sub(r'[\d.]+ s$', 's', load), rival) for kind, load, rival in found]

    assert rows(result.stdout) == rows(README)
    assert len(rows(README)) == 10
