"""The repository: what is where, and the benchmark."""

import re
import signal
import subprocess
import sys

import pytest
from helpers import CLIENTS, ROOT, SERVERS

FILES = [*SERVERS, *CLIENTS, 'common.py']


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
    """At its quickest, it prints the rows that the README tells of."""
    if sys.platform != 'linux':
        pytest.skip('takes Linux')

    words = [sys.executable, ROOT / 'tests/benchmark.py', '--effort', '1']
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            printed, errors = run.communicate(timeout=150)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGINT)  # as by Ctrl-C: it ends its servers
            raise

    assert errors == ''
    for row in [
        'TCP, one client, one core | bare TCP echo',
        'TCP, one client, one core | listing',
        'UDP, 8 clients | bare UDP echo',
        'UDP, 8 clients | listing',
    ]:
        assert re.search(rf'^\| {re.escape(row)} \| [\d.]+ \|$', printed, re.MULTILINE)
