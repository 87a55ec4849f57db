"""The repository as a reader finds it: the README's commands and names, and what is where."""

import re
import shlex
import shutil
import signal
import subprocess
import sys

import helpers
import pytest
from helpers import CLIENTS, ROOT, SERVERS, STAMP

README = (ROOT / 'README.md').read_text()
FILES = [*SERVERS, *CLIENTS, 'common.py']

# The commands with a pipe in the README's console blocks, and what it says they print.
COMMANDS = re.findall(r'^\$ (.* \| .*)\n((?:[^$`].*\n)*)', README, re.MULTILINE)


@pytest.mark.parametrize(('command', 'printed'), COMMANDS)
def test_command_of_the_readme(tcp_server, command, printed):
    if ' nc -N ' in command:
        nc = shutil.which('nc')
        if not nc or '-N' not in subprocess.getoutput('nc -h'):
            pytest.skip('takes an nc that has -N')

    command = command.replace('21567', str(tcp_server.port))
    command = command.replace('tsTclnt.py', f'tsTclnt.py --port {tcp_server.port}')
    command = command.replace('python3', shlex.quote(sys.executable))
    ended = subprocess.run(
        command, shell=True, cwd=ROOT, capture_output=True, timeout=helpers.PATIENCE
    )

    shown = (ended.stdout + ended.stderr).strip()
    assert re.sub(STAMP, b'[]', shown) == re.sub(STAMP, b'[]', printed.encode().strip())


def test_there_are_commands():
    assert len(COMMANDS) == 3


def test_names_of_the_readme():
    """Each file and each function that the README names is there."""
    files = re.findall(r'`((?:tests/)?\w+\.(?:py|toml))`', README)
    assert 'common.py' in files
    for name in files:
        assert (ROOT / name).exists() or (ROOT / 'tests' / name).exists(), name

    functions = re.findall(r'`(\w+)\(', README)
    assert 'entered' in functions
    scripts = '\n'.join(path.read_text() for path in ROOT.glob('*.py'))
    tests = '\n'.join(path.read_text() for path in ROOT.glob('tests/*.py'))
    for name in functions:
        assert re.search(rf'\b{name}\(', scripts) or f'def {name}(' in tests, name


def test_departures_of_the_readme():
    """Each row of its table is proven by a test that the listing fails, and no test is more."""
    table = README.partition('| what happens without it |')[2].partition('\n\n')[0]
    rows = re.findall(r'^\| (.*?) \|', table, re.MULTILINE)

    tests = '\n'.join(path.read_text() for path in (ROOT / 'tests').glob('test_*.py'))
    assert sorted(rows) == sorted(set(re.findall(r"^@departure\('(.*?)',", tests, re.MULTILINE)))


def test_top_level():
    listed = subprocess.run(['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip('takes a clone')

    names = {path.split('/')[0] for path in listed.stdout.splitlines()}
    visible = {name for name in names if not name.startswith('.')}
    assert visible == {*FILES, 'tests', 'README.md', 'pyproject.toml'}


@pytest.mark.parametrize('file', FILES)
def test_standard_library_alone(file):
    text = (ROOT / file).read_text()
    modules = set(re.findall(r'^ *(?:from|import) (\w+)', text, re.MULTILINE))

    assert modules - {'common'} <= sys.stdlib_module_names
    assert not modules & {'asyncio', 'select', 'selectors', 'socketserver'}


def test_no_socket_call_is_hidden():
    """Each stands in its script."""
    calls = r'\.(bind|listen|accept|connect|recv|send|sendall|recvfrom|sendto)\('
    assert not re.search(calls, (ROOT / 'common.py').read_text())


@pytest.mark.timeout(180)
def test_benchmark():
    """At its quickest, it prints the rows that the README has."""
    if sys.platform != 'linux':
        pytest.skip('takes Linux')

    words = [sys.executable, ROOT / 'tests/benchmark.py', '--effort', '1']
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            printed, errors = run.communicate(timeout=150)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGINT)  # as by Ctrl-C: it ends its servers
            raise

    row = re.compile(r'^\| ((?:TCP|UDP), .*?) \| (.*?) \| [\d.]+ \|$', re.MULTILINE)
    assert errors == ''
    assert row.findall(printed) == row.findall(README)
    assert len(row.findall(README)) == 9
