"""The listings: they run as they are, and work together with the scripts."""

import ast
import re
import subprocess
import sys

import pytest
from helpers import (
    LISTINGS,
    PAIRS,
    PATIENCE,
    ROOT,
    STAMP,
    start_client,
    unstamped,
)

KINDS = {'script': ROOT, 'listing': LISTINGS}
EXAMPLES = {
    'tsTserv.py': '16.1',
    'tsTclnt.py': '16.2',
    'tsUserv.py': '16.3',
    'tsUclnt.py': '16.4',
}
pairs = pytest.mark.parametrize(('server', 'client'), PAIRS, ids=['TCP', 'UDP'])


@pytest.mark.parametrize('client_kind', KINDS)
@pytest.mark.parametrize('server_kind', KINDS)
@pairs
def test_scripts_and_listings_work_together(
    serve, serve_listing, server, client, server_kind, client_kind
):
    start = serve if server_kind == 'script' else serve_listing
    port = start(server).port
    space = b'' if server_kind == 'script' else b' '
    prompt = b'' if client_kind == 'script' else b'> '
    with start_client(client, port, root=KINDS[client_kind]) as process:
        for line in b'hi\n', b'spanish inquisition\n':
            process.stdin.write(line)
            shown = process.stdout.readline()
            assert re.fullmatch(prompt + STAMP + space + line, shown)
        process.stdin.write(b'\n')
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == b''


@pairs
def test_a_listing_runs_as_it_is(loopback, server, client):  # there, its port is free
    words = [sys.executable, '-u', LISTINGS / server]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b'waiting for ')
        words = [sys.executable, LISTINGS / client]
        output = subprocess.check_output(words, input=b'hi\n\n', timeout=PATIENCE)
        process.kill()
    assert unstamped(output) == b'>  hi\n> '


@pytest.mark.parametrize('script', EXAMPLES)
def test_a_listing_says_what_it_is_and_what_it_is_not_for(script):
    docstring = ast.get_docstring(ast.parse((LISTINGS / script).read_text()))
    assert docstring.startswith(f'Example {EXAMPLES[script]} ')
    assert docstring.endswith(': to compare with, not to copy.')
