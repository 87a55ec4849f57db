"""The repository as a reader finds it: the README's commands, the scripts' shape."""

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize

import pytest
from helpers import CLIENTS, PATIENCE, ROOT, SERVERS, STAMP, free_port

README = (ROOT / 'README.md').read_text()
CONSOLE = '$\n'.join(re.findall(r'```console\n(.*?)```', README, re.DOTALL))
COMMANDS = re.findall(r'^\$ (.*\|.*)\n((?:[^$].*\n)*)', CONSOLE, re.MULTILINE)


@pytest.mark.parametrize(('command', 'output'), COMMANDS)
def test_a_command_in_the_readme_prints_what_the_readme_says(serve, command, output):
    if 'nc ' in command and not shutil.which('nc'):
        pytest.skip('nc is not installed')
    port = serve('tsTserv.py').port if '[' in output else free_port()
    command = re.sub(r'(ts[TU]clnt\.py)', rf'\1 --port {port}', command)
    command = command.replace('python3', sys.executable).replace('21567', str(port))
    result = subprocess.run(
        ['sh', '-c', command], cwd=ROOT, capture_output=True, timeout=PATIENCE
    )
    printed, said = result.stdout + result.stderr, output.encode()
    printed, said = (re.sub(STAMP, b'[]', text) for text in (printed, said))
    assert printed.strip() == said.replace(b'21567', b'%d' % port).strip()


def test_the_readme_shows_the_commands_that_the_other_test_runs():
    assert len(COMMANDS) >= 6


def test_ci_runs_the_test_command_of_the_readme():
    command = re.search(r'^python3 -m venv .*$', README, re.MULTILINE)[0]
    assert command.endswith('&& .venv/bin/pytest')
    assert "grep -m 1 '^python3 -m venv' README.md" in (ROOT / '.ci/run').read_text()


def test_every_file_and_function_that_the_readme_names_is_there():
    for name in set(re.findall(r'`((?:tests/)?[a-zA-Z]+\.(?:py|toml))`', README)):
        assert (ROOT / name).exists() or (ROOT / 'tests' / name).exists(), name
    code = ''.join(path.read_text() for path in ROOT.glob('*.py'))
    for name in 'serve', 'dialog', 'stamped', 'graceful':
        assert f'`{name}()`' in README
        assert f'def {name}(' in code


def lines_of_code(name: str) -> int:
    """Count a script's lines, without docstrings, comments and blank lines."""
    source = (ROOT / name).read_text()
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.string.strip() and token.type != tokenize.COMMENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


PRINTED = {'tsTserv.py': 28, 'tsTclnt.py': 23, 'tsUserv.py': 21, 'tsUclnt.py': 22}


@pytest.mark.parametrize('script', PRINTED)
def test_a_script_is_about_as_long_as_its_example(script):
    assert lines_of_code(script) <= 1.3 * PRINTED[script]


def test_all_the_code_together_stays_short():
    assert sum(map(lines_of_code, [*PRINTED, 'common.py'])) < 180


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
