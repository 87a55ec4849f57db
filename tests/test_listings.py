"""The listings: they run as they are, and work together with the scripts."""

import ast
import re

import pytest
from helpers import (
    CLIENTS,
    LISTINGS,
    PAIRS,
    PATIENCE,
    ROOT,
    SERVERS,
    STAMP,
    start_client,
)

KINDS = {'script': ROOT, 'listing': LISTINGS}


@pytest.mark.parametrize('client_kind', KINDS)
@pytest.mark.parametrize('server_kind', KINDS)
@pytest.mark.parametrize(('server', 'client'), PAIRS, ids=['TCP', 'UDP'])
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


@pytest.mark.parametrize('script', SERVERS + CLIENTS)
def test_a_listing_says_what_it_is_and_what_it_is_not_for(script):
    docstring = ast.get_docstring(ast.parse((LISTINGS / script).read_text()))
    number = ['tsTserv.py', 'tsTclnt.py', 'tsUserv.py', 'tsUclnt.py'].index(script) + 1
    assert docstring.startswith(f'Example 16.{number} ')
    assert docstring.endswith(': to compare with, not to copy.')
