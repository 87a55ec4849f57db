"""On a terminal: the sessions of the section, and the keys that one presses there."""

import re
import shlex

import pexpect
import pytest
from helpers import (
    PATIENCE,
    STAMP,
    command,
    screen,
    server_terminal,
    terminal,
    unstamped,
)

CLIENT_SCREEN = (
    r'> hi\n[stamp]hi\n> spanish inquisition\n[stamp]spanish inquisition\n> \n'
)
TCP_SERVER_SCREEN = r"""waiting for connection\.\.\.
\.\.\.connected from: \('127\.0\.0\.1', \d+\)
waiting for connection\.\.\.
\^C
"""
UDP_SERVER_SCREEN = r"""waiting for message\.\.\.
\.\.\.received from and returned to: \('127\.0\.0\.1', (\d+)\)
waiting for message\.\.\.
\.\.\.received from and returned to: \('127\.0\.0\.1', \1\)
waiting for message\.\.\.
\^C
"""


@pytest.mark.parametrize(
    ('server_script', 'client_script', 'server_screen'),
    [
        ('tsTserv.py', 'tsTclnt.py', TCP_SERVER_SCREEN),
        ('tsUserv.py', 'tsUclnt.py', UDP_SERVER_SCREEN),
    ],
    ids=['TCP', 'UDP'],
)
def test_two_terminals_show_the_session_of_the_book(
    server_script, client_script, server_screen
):
    server = server_terminal(server_script)
    client = terminal(client_script, server.port)
    for line in 'hi', 'spanish inquisition', '':
        client.expect_exact('> ')
        client.sendline(line)
    client_screen = CLIENT_SCREEN.replace('[stamp]', STAMP.decode())
    assert re.fullmatch(client_screen, screen(client))
    assert client.exitstatus == 0
    server.sendintr()
    assert re.fullmatch(server_screen, screen(server))
    assert server.exitstatus == 0


@pytest.mark.parametrize(
    'key', ['\r', '\x04', '\x03'], ids=['Enter', 'Ctrl-D', 'Ctrl-C']
)
def test_enter_end_of_input_and_ctrl_c_quit_the_client(pair, key):
    client = terminal(pair.client, pair.server.port)
    client.expect_exact('> ')
    client.send(key)
    assert screen(client) == '> \n'
    assert client.exitstatus == 0


def test_ctrl_c_in_the_middle_of_a_line_quits_the_client(pair):
    client = terminal(pair.client, pair.server.port)
    client.expect_exact('> ')
    client.send('half a li')
    client.expect_exact('half a li')
    client.sendintr()
    screen(client)
    assert client.exitstatus == 0


def test_ctrl_c_pressed_again_and_again_shows_no_traceback(pair):
    client = terminal(pair.client, pair.server.port)
    client.expect_exact('> ')
    client.send('\x03\x03\x03')
    assert 'Traceback' not in screen(client)
    assert client.exitstatus == 0


def test_the_arrow_keys_edit_the_line_and_bring_back_earlier_ones(pair):
    client = terminal(pair.client, pair.server.port)
    client.expect_exact('> ')
    client.sendline('hllo\x1b[D\x1b[D\x1b[De')  # three times left
    client.expect_exact(']hello\r\n> ')
    client.sendline('\x1b[A!')  # up
    client.expect_exact(']hello!\r\n> ')
    client.sendline('\x1b[A\x1b[A')
    client.expect_exact(']hello\r\n> ')
    client.sendline()
    screen(client)


@pytest.mark.parametrize('locale', ['C', 'C.UTF-8', 'POSIX'])
def test_typed_text_comes_back_in_every_locale(pair, locale):
    environment = {'TERM': 'dumb', 'LC_ALL': locale}
    client = terminal(pair.client, pair.server.port, env=environment)
    client.expect_exact('> ')
    client.sendline('grüß Gott, Дмитрий')
    client.expect_exact(']grüß Gott, Дмитрий\r\n'.encode())
    client.sendline()
    screen(client)


@pytest.mark.parametrize(
    'environment',
    [{'LC_ALL': 'C'}, {'LC_ALL': 'C', 'PYTHONIOENCODING': 'ascii:strict'}],
)
def test_a_typed_byte_that_is_not_utf_8_comes_back_as_it_was(pair, environment):
    environment = environment | {'TERM': 'dumb'}
    client = terminal(pair.client, pair.server.port, env=environment)
    client.expect_exact('> ')
    client.sendline(b'caf\xe9')
    client.expect_exact(b']caf\xe9\r\n')
    client.sendline()
    client.expect(pexpect.EOF)


def test_a_typed_line_longer_than_a_message_comes_back_whole(pair):
    line = '0123456789' * 350
    client = terminal(pair.client, pair.server.port, echo=False)
    client.expect_exact('> ')
    client.sendline(line)
    client.expect_exact('> ')
    replies = client.before.decode().split('\r\n')
    sent_back = ''.join(unstamped(reply.encode()).decode() for reply in replies)
    assert sent_back.endswith(line)
    assert len(re.findall(STAMP, client.before)) == 4
    client.sendline()
    screen(client)


def test_with_its_output_in_a_file_the_prompt_stays_on_the_terminal(pair, tmp_path):
    words = shlex.join(command(pair.client, pair.server.port))
    shell = ['-c', f'{words} > {tmp_path}/replies']
    client = pexpect.spawn('/bin/sh', shell, timeout=PATIENCE)
    client.expect_exact('> ')
    client.sendline('hi')
    client.expect_exact('> ')
    client.sendline()
    client.expect(pexpect.EOF)
    assert re.fullmatch(STAMP + rb'hi\n', (tmp_path / 'replies').read_bytes())


def test_with_its_errors_in_a_file_the_prompt_stays_on_the_terminal(pair, tmp_path):
    words = shlex.join(command(pair.client, pair.server.port))
    shell = ['-c', f'{words} 2> {tmp_path}/errors']
    client = pexpect.spawn('/bin/sh', shell, timeout=PATIENCE)
    client.expect_exact('> ')
    client.sendline()
    client.expect(pexpect.EOF)
    assert (tmp_path / 'errors').read_bytes() == b''
