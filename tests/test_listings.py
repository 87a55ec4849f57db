"""The listings: each works with the scripts, and breaks the promises of the departures."""

import importlib
import inspect
import re
import socket
import types
from pathlib import Path

import helpers
import pytest
from helpers import LISTINGS, PATIENCE, ROOT, STAMP, pairs


@pytest.mark.parametrize('roots', [(ROOT, LISTINGS), (LISTINGS, ROOT), (LISTINGS, LISTINGS)])
@pairs
def test_scripts_and_listings_work_together(serve, start, monkeypatch, script, client, roots):
    monkeypatch.setenv('PYTHONUNBUFFERED', '1')
    process = start(client, serve(script, root=roots[0]).port, root=roots[1])
    space, prompt = b' ' * (roots[0] == LISTINGS), b'> ' * (roots[1] == LISTINGS)
    for line in b'hi\n', b'spanish inquisition\n':
        process.stdin.write(line)
        assert re.fullmatch(prompt + STAMP + space + line, process.stdout.readline())
    assert process.communicate(b'\n', PATIENCE)[1] == b''
    assert process.returncode == 0


LINES = {  # as the section numbers them
    'tsTserv.py': '2 # Example 16.1, 3 from, 4 from, 6 HOST, 9 ADDR, 11 tcpSerSock =,'
    '12 tcpSerSock.bind, 13 tcpSerSock.listen, 15 while, 28 tcpSerSock.close',
    'tsTclnt.py': '2 # Example 16.2, 3 from, 5 HOST, 10 tcpCliSock =, 11 tcpCliSock.connect,'
    '13 while, 14 data = input, 16 break, 18 data = tcpCliSock, 20 break, 23 tcpCliSock.close',
    'tsUserv.py': '2 # Example 16.3, 3 from, 4 from, 6 HOST, 11 udpSerSock =,'
    '12 udpSerSock.bind, 14 while, 21 udpSerSock.close',
    'tsUclnt.py': '2 # Example 16.4, 3 from, 5 HOST, 10 udpCliSock =,12 while, 22 udpCliSock.close',
}


@pytest.mark.parametrize('script', LINES)
def test_a_listing_has_its_statements_on_the_lines_that_the_section_names(script):
    listing = (LISTINGS / script).read_text().splitlines()
    for line in f'1 #!, {LINES[script]}'.split(','):
        number, start = line.strip().split(' ', 1)
        assert listing[int(number) - 1].strip().startswith(start)
    assert len(listing) == int(number)


# A departure is a mark at the test of a promise: the row of the README's table, what is seen
# when the test is held against the listing (a pattern), and the parameters that show it.

MODULES = [importlib.import_module(path.stem) for path in Path(__file__).parent.glob('test_*.py')]
DEPARTURES = [
    (mark.args[0], promise, mark)
    for module in MODULES
    for promise in vars(module).values()
    for mark in getattr(promise, 'pytestmark', [])
    if mark.name == 'departure'
]
DEPARTURES.sort(key=lambda departure: departure[0])
TCP = {'script': 'tsTserv.py', 'client': 'tsTclnt.py'}


@pytest.fixture
def root(monkeypatch):
    """The folder of the programs that a promise is held against here, their output live."""
    monkeypatch.setenv('PYTHONUNBUFFERED', '1')
    return LISTINGS


@pytest.fixture
def pair(tcp):
    """The TCP server of the listings, running, and the name of the client for it."""
    return types.SimpleNamespace(server=tcp, client='tsTclnt.py')


@pytest.mark.parametrize('departure', DEPARTURES, ids=lambda departure: departure[0])
def test_a_listing_breaks_the_promise_of(request, monkeypatch, tmp_path, departure):
    _, promise, mark = departure
    monkeypatch.setattr(helpers, 'PATIENCE', 4)  # it waits in vain, so not for long
    socket.setdefaulttimeout(4)
    request.addfinalizer(lambda: socket.setdefaulttimeout(PATIENCE))
    given = TCP | mark.kwargs
    names = inspect.signature(promise).parameters
    given |= {name: request.getfixturevalue(name) for name in names if name not in given}
    with pytest.raises((Exception, pytest.fail.Exception)) as failure:
        promise(**{name: given[name] for name in names})
    monkeypatch.undo()

    def evidence() -> str:
        errors = [path.read_text() for path in tmp_path.glob('*.2')]
        return '\n'.join([str(failure.value), *errors])

    helpers.wait_until(lambda: re.search(mark.args[1], evidence()))


def test_the_readme_has_a_row_for_each_departure_and_no_other():
    table = (ROOT / 'README.md').read_text().partition('| what happens without it |')[2]
    rows = re.findall(r'^\| (.*?) \|', table.partition('\n\n')[0], re.MULTILINE)
    assert sorted(rows) == [row for row, _, _ in DEPARTURES]
