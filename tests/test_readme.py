"""The README as its reader follows it: what it says to type shows what it says, word for word."""

import os
import re
import shutil
import subprocess
import sys

import helpers
import pytest
from helpers import LISTINGS, ROOT, wait_for_sleep, wait_until

pexpect = pytest.importorskip('pexpect')
pytest.importorskip('readline')

README = (ROOT / 'README.md').read_text()


def sessions(text: str) -> list[str]:
    """Return what a text shows of terminals."""
    return re.findall(r'^```console\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)


def sessions_under(heading: str) -> list[str]:
    """Return those of a part of the README, which the first words of its heading name."""
    start = README.index(f'# {heading}')
    return sessions(README[start : README.index('\n#', start)])


def plain(screen: str) -> str:
    """Return what a terminal shows without what differs from one time to the next."""
    screen = re.sub(r'\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d', 'DAY AND TIME', screen)
    screen = re.sub(r' 20\d\d\]', ' YEAR]', screen)
    screen = re.sub(r"\('127\.0\.0\.1', \d+\)", 'ADDRESS', screen)
    screen = re.sub(r'(localhost|port) \d+', r'\1 PORT', screen)
    screen = re.sub(r'(Traceback .*\n)(?: .*\n)+', r'\1  ...\n', screen)
    lines = [line.rstrip() for line in screen.splitlines()]
    return '\n'.join(line for line in lines if line)  # some shells add an empty line to a ^C


@pytest.fixture
def port():
    return str(helpers.free_port())


@pytest.fixture
def copy(tmp_path, port):
    """A copy of the project, on a port of its own."""
    copy = tmp_path / 'copy'
    for path in [*ROOT.glob('*.py'), *LISTINGS.glob('*.py')]:
        file = copy / path.relative_to(ROOT)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path.read_text().replace('21567', port))
    return copy


@pytest.fixture
def open_terminal(tmp_path, copy, spawn):
    """Open a terminal, with a shell in the copy, and enter a command."""
    (tmp_path / 'python3').symlink_to(sys.executable)
    path = f'{tmp_path}:{os.environ["PATH"]}'

    def open_one(command: str):
        shell = ['env', f'PATH={path}', 'PS1=$ ', 'ENV=', 'HISTFILE=', 'sh', '-i']
        terminal = spawn(['sh', '-c', 'cd "$0" && exec "$@"', str(copy), *shell])
        terminal.expect_exact('$ ')
        terminal.sendline(command)
        return terminal

    return open_one


def assert_shows(terminal, session: str) -> None:
    """Wait until a terminal has shown what a session of the README has, and no more."""

    def shown() -> str:
        terminal.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=0.05)  # reads what is there
        return plain(terminal.logfile_read.getvalue().decode())

    try:
        wait_until(lambda: shown() == plain(session))
    finally:
        assert shown() == plain(session)


@pytest.fixture
def start_server(open_terminal):
    """Start a server on a terminal."""

    def start(command: str):
        server = open_terminal(command)
        server.expect_exact('waiting for')
        return server

    return start


def enter(client, *lines: str) -> None:
    """Enter lines, each at the prompt of a client."""
    for line in lines:
        client.expect_exact('\n> ')
        client.sendline(line)


def test_start_on_tcp(start_server, open_terminal):
    server_shows, client_shows, _, _ = sessions_under('Start')

    server = start_server('python3 tsTserv.py')
    client = open_terminal('python3 tsTclnt.py')
    enter(client, 'hi', 'spanish inquisition', '')

    assert_shows(client, client_shows)
    assert_shows(server, server_shows)


def test_start_on_udp(start_server, open_terminal):
    _, _, server_shows, client_shows = sessions_under('Start')

    server = start_server('python3 tsUserv.py')
    client = open_terminal('python3 tsUclnt.py')
    enter(client, 'hi', '')

    assert_shows(client, client_shows)
    assert_shows(server, server_shows)


# Each fault is shown with the listings, and then with the scripts.
both = pytest.mark.parametrize(
    ('folder', 'number'), [('tests/listings/', 0), ('', 1)], ids=['listing', 'script']
)


@both
def test_second_client(start_server, open_terminal, folder, number):
    session = sessions_under('1.')[number]
    options = ['', ' --threads'][number]
    start_server(f'python3 {folder}tsTserv.py{options}')

    first = open_terminal(f'python3 {folder}tsTclnt.py')
    enter(first, 'hi')
    first.expect_exact(']')
    second = open_terminal(f'python3 {folder}tsTclnt.py')
    enter(second, 'hi')
    assert_shows(second, session)

    enter(first, 'hi again')
    first.expect_exact('] hi again' if folder else ']hi again')
    assert_shows(second, session)  # still

    enter(first, '')
    second.expect_exact('] hi' if folder else ']hi')


@both
def test_reply_that_comes_late(start_server, open_terminal, copy, folder, number):
    for file in [copy / 'tests/listings/tsTclnt.py', copy / 'common.py']:
        text = file.read_text()
        assert text.count('1024') == 1
        file.write_text(text.replace('1024', '20'))
    server = start_server(f'python3 {folder}tsTserv.py')

    client = open_terminal(f'python3 {folder}tsTclnt.py')
    enter(client, 'spanish inquisition', 'hi')

    assert_shows(client, sessions_under('2.')[number])

    client.sendline()
    if folder:
        server.expect_exact('ConnectionResetError')
    else:
        server.expect_exact('\nwaiting for connection...')


@both
def test_second_start(start_server, open_terminal, folder, number):
    server = start_server(f'python3 {folder}tsTserv.py')
    client = open_terminal(f'python3 {folder}tsTclnt.py')
    enter(client, 'hi')
    client.expect_exact(']')

    wait_for_sleep(server.pid)
    server.sendintr()
    server.expect_exact('\n$ ')
    server.sendline(f'python3 {folder}tsTserv.py')
    assert_shows(server, sessions_under('3.')[number])

    enter(client, 'hi again')
    if folder:
        client.expect_exact('hi again\r\n$ ')  # without a word
        start_server('python3 tsTserv.py')  # the port is free
    else:
        client.expect_exact(': the server has closed the connection\r\n$ ')


@both
def test_lost_datagram(start_server, open_terminal, folder, number):
    client = open_terminal(f'python3 {folder}tsUclnt.py')
    enter(client, 'hi')
    client.expect_exact('hi\r\n')
    wait_for_sleep(client.pid)  # the datagram is lost now

    if folder:
        server = start_server(f'python3 {folder}tsUserv.py')
        assert_shows(server, f'$ python3 {folder}tsUserv.py\nwaiting for message...')
    else:
        client.expect_exact('timed out')
        start_server('python3 tsUserv.py')
        enter(client, 'hi')

    assert_shows(client, sessions_under('4.')[number])


@both
def test_letter(start_server, open_terminal, folder, number):
    server = start_server(f'python3 {folder}tsUserv.py')

    (command,) = re.findall(r'`(python3 .* \| python3 tsUclnt\.py)`', README)
    open_terminal(command)

    assert_shows(server, sessions_under('5.')[number])


PIPES = [session for session in sessions(README) if ' | ' in session]


@pytest.mark.parametrize('session', PIPES)
def test_pipe(start_server, open_terminal, port, session):
    command = session.splitlines()[0].removeprefix('$ ')
    if ' nc -N ' in command:
        nc = shutil.which('nc')
        if not nc or '-N' not in subprocess.getoutput('nc -h'):
            pytest.skip('takes an nc that has -N')
    start_server('python3 tsTserv.py')

    terminal = open_terminal(command.replace('21567', port))

    assert_shows(terminal, session + '$')


def test_every_session_is_followed():
    """By a test of this file, which names its heading."""
    followed = list(PIPES)
    for heading in ['Start', '1.', '2.', '3.', '4.', '5.']:
        followed += sessions_under(heading)

    assert sorted(followed) == sorted(sessions(README))


def test_answer_of_your_own(start_server, open_terminal, copy):
    """The line for stamped() works with both pairs."""
    (line,) = re.findall(r'`(return timestamp\(\) .*)`', README)
    text = (copy / 'common.py').read_text()
    assert text.count('return timestamp() + data') == 1
    (copy / 'common.py').write_text(text.replace('return timestamp() + data', line))

    for letter in 'TU':
        start_server(f'python3 ts{letter}serv.py')
        client = open_terminal(f'python3 ts{letter}clnt.py')
        enter(client, 'hi')
        client.expect(r'\]\w+: hi\r\n> ')


def test_names():
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


def test_departures():
    """Each that the README tells of is proven by a test that the listing fails, and no other."""
    told = []
    for heading in re.findall(r'^### \d\. .*: (.*)$', README, re.MULTILINE):
        told += heading.split(', ')
    for table in re.findall(
        r'^\| .*: the scripts have .*\n.*\n((?:\|.*\n)+)', README, re.MULTILINE
    ):
        told += re.findall(r'^\| (.*?) \|', table, re.MULTILINE)

    tests = '\n'.join(path.read_text() for path in (ROOT / 'tests').glob('test_*.py'))
    assert sorted(told) == sorted(set(re.findall(r"^@departure\('(.*?)',", tests, re.MULTILINE)))
