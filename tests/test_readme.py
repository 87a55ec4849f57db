"""The README as its reader follows it: what it says to type is typed, and shows what it says.

The terminals are pexpect's: expect_exact(text) waits until the program there has shown a text.
"""

import os
import re
import shutil
import subprocess
import sys

import helpers
import pytest
from helpers import LISTINGS, ROOT, pairs, press_ctrl_c, wait_for_sleep, wait_until

pexpect = pytest.importorskip('pexpect')
pytest.importorskip('readline')

README = (ROOT / 'README.md').read_text()


def readme_says(words: str) -> str:
    """Return words that the README has to have, be it in one line or in two."""
    assert words in ' '.join(README.split())
    return words


def sessions(text: str) -> list[str]:
    """Return the terminals that a text shows, which are its blocks marked as console."""
    return re.findall(r'^```console\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)


def sessions_under(heading: str) -> list[str]:
    """Return the terminals under that heading of the README which begins so."""
    start = README.index(f'# {heading}')
    return sessions(README[start : README.index('\n#', start)])


def fault(number: int, kind: str) -> tuple[str, str]:
    """Return the folder of the listings or the scripts, and the terminal shown for a fault."""
    listing, script = sessions_under(f'{number}.')
    if kind == 'listing':
        return 'tests/listings/', listing
    return '', script


def plain(screen: str) -> str:
    """Return what a terminal shows without what differs from one time to the next.

    These are times, addresses, the inside of tracebacks, and empty lines, which some shells
    add to a ^C.
    """
    # Not by STAMP: in fault 2, a stamp is cut between its time and its year.
    screen = re.sub(r'[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d', 'DAY AND TIME', screen)
    screen = re.sub(r' 20\d\d\]', ' YEAR]', screen)
    screen = re.sub(r"\('127\.0\.0\.1', \d+\)", 'ADDRESS', screen)
    screen = re.sub(r'(Traceback .*\n)(?: .*\n)+', r'\1  ...\n', screen)
    lines = [line.rstrip() for line in screen.splitlines()]
    return '\n'.join(line for line in lines if line)


@pytest.fixture
def port():
    return str(helpers.free_port())


@pytest.fixture
def copy(edited, port):
    """A copy of the scripts and the listings, on a port of its own."""
    scripts = edited('21567', port)
    listings = scripts / 'tests/listings'
    listings.mkdir(parents=True)
    for path in LISTINGS.glob('*.py'):
        (listings / path.name).write_text(path.read_text().replace('21567', port))
    return scripts


def replace_in(file, old: str, new: str) -> None:
    """Replace a text that a file has once, as a reader does in an editor."""
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.fixture
def open_terminal(tmp_path, copy, port, spawn):
    """Open a terminal, with a shell in the copy, and enter a command of the README."""
    (tmp_path / 'python3').symlink_to(sys.executable)
    # The README's prompt, no file that the shell reads first, and no history that it writes.
    variables = [f'PATH={tmp_path}:{os.environ["PATH"]}', 'PS1=$ ', 'ENV=', 'HISTFILE=']

    def open_one(command: str):
        terminal = spawn(['env', *variables, 'sh', '-i'], cwd=copy)
        terminal.expect_exact('$ ')
        terminal.sendline(command.replace('21567', port))
        return terminal

    return open_one


@pytest.fixture
def start_server(open_terminal):
    """Start a server on a terminal."""

    def start(command: str):
        server = open_terminal(command)
        server.expect_exact('waiting for')
        return server

    return start


@pytest.fixture
def assert_shows(port):
    """Wait until a terminal has shown what a session of the README has, and no more."""

    def check(terminal, session: str) -> None:
        def shown() -> str:
            terminal.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=0.05)  # reads what is there
            screen = terminal.logfile_read.getvalue().decode()
            return plain(screen.replace(port, '21567'))

        try:
            wait_until(lambda: shown() == plain(session))
        except AssertionError:
            assert shown() == plain(session)  # so that pytest shows the difference

    return check


def enter(client, *lines: str) -> None:
    """Enter lines, each at the prompt of a client."""
    for line in lines:
        client.expect_exact('\n> ')
        client.sendline(line)


def test_start_on_tcp(start_server, open_terminal, assert_shows):
    server_shows, client_shows, _, _ = sessions_under('Start')

    server = start_server('python3 tsTserv.py')
    client = open_terminal('python3 tsTclnt.py')
    enter(client, 'hi', 'spanish inquisition', '')

    assert_shows(client, client_shows)
    assert_shows(server, server_shows)


def test_start_on_udp(start_server, open_terminal, assert_shows):
    _, _, server_shows, client_shows = sessions_under('Start')

    server = start_server('python3 tsUserv.py')
    client = open_terminal('python3 tsUclnt.py')
    enter(client, 'hi', '')

    assert_shows(client, client_shows)
    assert_shows(server, server_shows)


# Each fault is shown with the listings, and then with the scripts.
both = pytest.mark.parametrize('kind', ['listing', 'script'])


@both
def test_second_client(start_server, open_terminal, assert_shows, kind):
    folder, session = fault(1, kind)
    if kind == 'listing':
        start_server('python3 tests/listings/tsTserv.py')
    else:
        start_server(readme_says('python3 tsTserv.py --threads'))

    first = open_terminal(f'python3 {folder}tsTclnt.py')
    enter(first, 'hi')
    first.expect_exact(']')  # the reply has come
    second = open_terminal(f'python3 {folder}tsTclnt.py')
    enter(second, 'hi')
    assert_shows(second, session)

    if kind == 'listing':
        enter(first, 'hi again')
        first.expect_exact('] hi again')
        assert_shows(second, session)  # still

        readme_says('no reply until you quit the first')
        enter(first, '')
        second.expect_exact('] hi')


@both
def test_reply_that_comes_late(start_server, open_terminal, assert_shows, copy, kind):
    folder, session = fault(2, kind)
    readme_says("put 20 for 1024 in the listing's client and in `common.py`")
    replace_in(copy / 'tests/listings/tsTclnt.py', '1024', '20')
    replace_in(copy / 'common.py', '1024', '20')

    server = start_server(f'python3 {folder}tsTserv.py')
    client = open_terminal(f'python3 {folder}tsTclnt.py')
    enter(client, 'spanish inquisition', 'hi')
    assert_shows(client, session)

    client.sendline()
    if kind == 'listing':
        readme_says("resets the connection, and that ends the listing's server")
        server.expect_exact('ConnectionResetError')
    else:
        server.expect_exact('\nwaiting for connection...')


@both
def test_second_start(start_server, open_terminal, assert_shows, kind):
    folder, session = fault(3, kind)
    server = start_server(f'python3 {folder}tsTserv.py')
    client = open_terminal(f'python3 {folder}tsTclnt.py')
    enter(client, 'hi')
    client.expect_exact(']')  # the reply has come

    press_ctrl_c(server)
    server.expect_exact('\n$ ')
    server.sendline(f'python3 {folder}tsTserv.py')
    assert_shows(server, session)

    enter(client, 'hi again')
    if kind == 'listing':
        readme_says('it ends without a word, and the port is free')
        client.expect_exact('hi again\r\n$ ')
        start_server('python3 tests/listings/tsTserv.py')  # and so it serves
    else:
        readme_says('it says `the server has closed the connection`')
        client.expect_exact(': the server has closed the connection\r\n')


@both
def test_lost_datagram(start_server, open_terminal, assert_shows, kind):
    folder, session = fault(4, kind)
    client = open_terminal(f'python3 {folder}tsUclnt.py')
    enter(client, 'hi')
    client.expect_exact('hi\r\n')
    wait_for_sleep(client.pid)  # the datagram is lost now

    if kind == 'listing':
        start_server('python3 tests/listings/tsUserv.py')
        assert_shows(client, session)

        readme_says('still waits, whatever you enter, until Ctrl-C')
        client.sendline('hi again')
        assert_shows(client, session + 'hi again\n')
        press_ctrl_c(client)
        client.expect_exact('KeyboardInterrupt')
    else:
        client.expect_exact('timed out')
        start_server('python3 tsUserv.py')
        enter(client, 'hi')
        assert_shows(client, session)


@both
def test_letter_in_latin_1(start_server, open_terminal, assert_shows, kind):
    folder, session = fault(5, kind)
    server = start_server(f'python3 {folder}tsUserv.py')

    (command,) = re.findall(r'`(python3 .* \| python3 tsUclnt\.py)`', README)
    client = open_terminal(command)

    assert_shows(server, session)
    readme_says('The client says `timed out` the first time, and then has its é back')
    if kind == 'listing':
        client.expect_exact(': timed out\r\n')
    else:
        client.expect_exact(b']caf\xe9\r\n')


PIPES = [session for session in sessions(README) if ' | ' in session]


@pytest.mark.parametrize('session', PIPES, ids=['pipe', 'nc', 'long line'])
def test_pipe(start_server, open_terminal, assert_shows, session):
    command = session.splitlines()[0].removeprefix('$ ')
    if ' nc -N ' in command:
        nc = shutil.which('nc')
        if not nc or '-N' not in subprocess.getoutput('nc -h'):
            pytest.skip('takes an nc that has -N')
    start_server('python3 tsTserv.py')

    terminal = open_terminal(command)

    assert_shows(terminal, session + '$')  # the prompt: the command has ended


def test_every_session_is_followed():
    """None is under another heading than those that the tests above follow."""
    followed = list(PIPES)
    for heading in ['Start', '1.', '2.', '3.', '4.', '5.']:
        followed += sessions_under(heading)

    assert sorted(followed) == sorted(sessions(README))


@pairs
def test_answer_of_your_own(start_server, open_terminal, copy, script, client):
    """The line for stamped() works."""
    (line,) = re.findall(r'`(return timestamp\(\) .*)`', README)
    replace_in(copy / 'common.py', 'return timestamp() + data', line)

    start_server(f'python3 {script}')
    person = open_terminal(f'python3 {client}')
    enter(person, 'hi')

    person.expect_exact(']heard: hi\r\n> ')


def test_names():
    """Each file and each part that the README names is there, and each function is called."""
    files = re.findall(r'[\w/]+\.(?:py|toml)\b', README)
    assert 'common.py' in files
    for name in files:
        assert (ROOT / name).exists(), name

    functions = re.findall(r'`(\w+)\(', README)
    assert 'entered' in functions
    scripts = '\n'.join(path.read_text() for path in ROOT.glob('*.py'))
    for name in functions:
        assert re.search(rf'\b{name}\(', scripts), name

    headings = re.findall(r'^#+ (.*)$', README, re.MULTILINE)
    # As GitHub makes them of headings.
    anchors = [heading.lower().replace(',', '').replace(' ', '-') for heading in headings]
    parts = re.findall(r'\]\(#(.*?)\)', README)
    assert parts
    for part in parts:
        assert part in anchors, part


def test_departures():
    """Those of the README, in headings and tables, are those of the tests: see departure()."""
    named = []
    for heading in re.findall(r'^### \d\. .*: (.*)$', README, re.MULTILINE):
        named += heading.split(', ')
    for table in re.findall(
        r'^\| .*: with the scripts .*\n.*\n((?:\|.*\n)+)', README, re.MULTILINE
    ):
        named += re.findall(r'^\| (.*?) \|', table, re.MULTILINE)

    tests = '\n'.join(path.read_text() for path in (ROOT / 'tests').glob('test_*.py'))
    assert sorted(named) == sorted(set(re.findall(r"^@departure\('(.*?)',", tests, re.MULTILINE)))
