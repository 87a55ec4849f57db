"""The listings: they work with the scripts, and have the lines that the section names."""

import re

import pytest
from helpers import LISTINGS, ROOT, STAMP, pairs, run

TOGETHER = {
    'script, listing': (ROOT, LISTINGS),
    'listing, script': (LISTINGS, ROOT),
    'listing, listing': (LISTINGS, LISTINGS),
}


@pytest.mark.parametrize('folders', TOGETHER.values(), ids=TOGETHER)
@pairs
def test_together(serve, script, client, folders):
    server_folder, client_folder = folders
    port = serve(script, folder=server_folder).port

    ended = run(client_folder, client, port, b'hi\nspanish inquisition\n\n')

    shown = ended.stdout.replace(b'> ', b'')
    assert re.fullmatch(STAMP + b' ?hi\n' + STAMP + b' ?spanish inquisition\n', shown.strip(b' '))
    assert (ended.stderr, ended.returncode) == (b'', 0)


LINES = {
    'tsTserv.py': {
        2: '# Example 16.1',
        3: 'from',
        4: 'from',
        6: 'HOST',
        9: 'ADDR',
        11: 'tcpSerSock = socket(',
        12: 'tcpSerSock.bind(',
        13: 'tcpSerSock.listen(',
        15: 'while True',
        28: 'tcpSerSock.close(',
    },
    'tsTclnt.py': {
        2: '# Example 16.2',
        3: 'from',
        5: 'HOST',
        10: 'tcpCliSock = socket(',
        11: 'tcpCliSock.connect(',
        13: 'while True',
        14: 'data = input(',
        16: 'break',
        18: 'data = tcpCliSock.recv(',
        20: 'break',
        23: 'tcpCliSock.close(',
    },
    'tsUserv.py': {
        2: '# Example 16.3',
        3: 'from',
        4: 'from',
        6: 'HOST',
        11: 'udpSerSock = socket(',
        12: 'udpSerSock.bind(',
        14: 'while True',
        21: 'udpSerSock.close(',
    },
    'tsUclnt.py': {
        2: '# Example 16.4',
        3: 'from',
        5: 'HOST',
        10: 'udpCliSock = socket(',
        12: 'while True',
        22: 'udpCliSock.close(',
    },
}


@pytest.mark.parametrize('script', LINES)
def test_lines_of_the_section(script):
    listing = (LISTINGS / script).read_text().splitlines()

    for number, start in LINES[script].items():
        assert listing[number - 1].strip().startswith(start)
    assert len(listing) == max(LINES[script])
