"""What both clients keep to: lines in, replies out, of any length and any bytes."""

import io
import os
import re
import shlex
import subprocess
import sys
from unittest import mock

import pytest
from helpers import LISTINGS, PATIENCE, STAMP, STAMPED, command, pairs, replies, run, unstamped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import common

UNBUFFERED = [os.environ | {'PYTHONUNBUFFERED': value} for value in ('', '1')]
ASCII = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}
LOCALES = ASCII, {'LC_ALL': 'C.UTF-8'}, {'PYTHONIOENCODING': 'cp437:strict'}
UDP = {'script': 'tsUserv.py', 'client': 'tsUclnt.py'}
INPUTS = {  # and the replies to them
    b'a\nb\n': b'a\nb\n',
    b'a\nb': b'a\nb\n',  # a last line without a newline
    b'a\n\nb\n': b'a\n',  # an empty line
    b'a\r\n\r\nb\r\n': b'a\n',
    b'': b'',
    b'a\rb\n\r': b'a\rb\n',
    b'  \nb\n': b'  \nb\n',
}


@pytest.mark.departure('`entered()`, in a pipe', 'EOFError')
def test_in_a_pipe_it_prints_the_replies_alone_until_an_empty_line_or_the_end(root, pair):
    for data, expected in INPUTS.items():
        result = run(pair.client, pair.server.port, data, root=root)
        assert (result.stderr, result.returncode) == (b'', 0)
        assert re.sub(STAMP, b'', result.stdout) == expected


def test_one_message_is_in_flight_at_a_time_on_tcp_with_a_newline(start, played):
    script, port, accept = played
    client = start(script, port, b'x' * 2000 + b'\ntwo\n\n')
    connection, received = accept(), []
    while len(received) < 4:
        received.append(connection.recv(2048))
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(PATIENCE)
        connection.send(STAMPED + received[-1])
    end, whole = (b'\n', b'') if script == 'tsTclnt.py' else (b'', b'\n')
    sizes = 997, 997, 6
    assert received == [*(b'x' * size + end for size in sizes), b'two' + end]
    shown = b''.join(STAMPED + message + whole for message in received)
    assert client.communicate(timeout=PATIENCE) == (shown, b'')
    assert client.returncode == 0


def test_head_gets_its_line_and_nobody_sees_a_traceback_or_an_error(pair):
    client = shlex.join(command(pair.client, pair.server.port))
    pipeline = ['sh', '-c', f'yes | {{ {client}; echo "status $?" >&2; }} | head -1']
    for environment in UNBUFFERED:
        result = subprocess.run(pipeline, env=environment, capture_output=True, timeout=PATIENCE)
        assert (unstamped(result.stdout), result.stderr) == (b'y\n', b'status 0\n')


EINVAL = """
    import errno, io, sys

    class Output(io.TextIOWrapper):
        def flush(self):
            raise OSError(errno.EINVAL, 'Invalid argument')

    sys.stdout = Output(io.FileIO(1, 'w', closefd=False), 'utf-8')
"""


def test_a_reader_that_has_gone_is_no_error_where_the_system_says_einval(pair, before_script):
    environment = before_script(EINVAL)  # as Windows does
    result = run(pair.client, pair.server.port, b'a\nb\n', env=environment)
    assert (result.stderr, result.returncode) == (b'', 0)


def test_a_full_disk_is_an_error_of_one_line(pair):
    expected = rf'{pair.client}: localhost port \d+: No space left on device\n'
    for environment in UNBUFFERED:
        with open('/dev/full', 'wb') as full:
            result = run(pair.client, pair.server.port, b'a\n', env=environment, stdout=full)
        assert re.fullmatch(expected, result.stderr.decode())
        assert result.returncode == 1


def test_no_reply_is_lost_without_a_word_where_a_pipe_takes_no_more_at_once(pair):
    data = b'0123456789' * 10000 + b'\n'  # more than a pipe holds
    for environment in UNBUFFERED:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        result = run(pair.client, pair.server.port, data, env=environment, stdout=writer)
        os.close(writer)
        with open(reader, 'rb') as file:
            whole, _, _ = file.read().rpartition(b'\n')
        assert (result.returncode, result.stderr.count(b'\n')) == (1, 1)
        assert whole and data.startswith(unstamped(whole).replace(b'\n', b''))


def test_with_a_standard_stream_closed_it_goes_on_as_far_as_it_can(pair):
    for closed in '1', '0', '2', '012':  # '1' comes first, as the log tells of it
        words = shlex.join(command(pair.client, pair.server.port))
        shell = f'printf "a\\nb\\n" | {words} ' + ' '.join(f'{fd}>&-' for fd in closed)
        result = subprocess.run(['sh', '-c', shell], capture_output=True, timeout=PATIENCE)
        assert replies(result) == (b'a\nb\n' if closed == '2' else b'')
        if closed == '1':
            pair.server.wait_for("('127.0.0.1', ")


def test_with_its_errors_closed_an_error_is_not_among_the_replies():
    result = run('tsTclnt.py', 1, b'a\n', preexec_fn=lambda: os.close(2))
    assert (result.stdout, result.returncode) == (b'', 1)


@pytest.mark.departure('long lines are cut into messages', '9.. == 2000', **UDP)
@pairs
def test_long_lines_are_cut_into_messages_whose_replies_fit(serve, root, script, client):
    port = serve(script, root=LISTINGS, env=UNBUFFERED[1]).port  # takes BUFSIZ at most
    result = run(client, port, b'x' * 2000 + b'\n2\n\n', root=root)
    assert result.stdout.count(b'x') == 2000
    assert re.search(rb'\] 2\n', result.stdout)


def test_lines_of_every_length_around_bufsiz_come_back_each_in_step(pair):
    lengths = [1, 2, *range(995, 1000), *range(1023, 1027), 1994, 1995, 4096, 2**21]
    lines = [(b'%d:' % length * length)[:length] for length in lengths]
    shown = replies(run(pair.client, pair.server.port, b'\n'.join(lines))).split(b'\n')
    for line in lines:
        whole = b''
        while len(whole) < len(line):
            whole += shown.pop(0)
        assert whole == line
    assert shown == [b'']


def test_in_every_locale_no_character_is_broken_and_bytes_that_are_no_utf_8_come_back(pair):
    text = 'x' + 'é€🐍' * 1000
    every_byte = bytes(range(256)).replace(b'\n', b'') * 10
    data = every_byte + b'\ncaf\xe9\n\xff\xfe\0\n' + b'\x80' * 3000
    for locale in LOCALES:
        environment = os.environ | locale
        result = run(pair.client, pair.server.port, text.encode(), env=environment)
        shown = [reply.decode() for reply in replies(result).splitlines()]
        assert len(shown) > 1 and ''.join(shown) == text
        result = run(pair.client, pair.server.port, data, env=environment)
        assert replies(result).replace(b'\n', b'') == data.replace(b'\n', b'')


@pytest.mark.parametrize('sizes', [(31, 31), (64, 4096), (100000, 64)])
@pairs
def test_bufsiz_may_have_another_value_on_either_side(serve, edited, script, client, sizes):
    roots = [
        edited('BUFSIZ = 1024', f'BUFSIZ = {size}', f'{side}') for side, size in enumerate(sizes)
    ]
    port = serve(script, root=roots[0]).port
    data = b'x\n' + '0123456789é'.encode() * 400 + b'\ny\n'
    result = run(client, port, data, root=roots[1])
    assert replies(result).replace(b'\n', b'') == data.replace(b'\n', b'')
    assert unstamped(result.stdout.splitlines()[-1]) == b'y'


# Cutting lines, stamping data: the pure parts of common.py, by their properties

settings.register_profile('slow', deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('slow')  # as any machine may be

sizes = st.integers(31, 100)  # of BUFSIZ
# A CR that ends a line is a part of its end.
lines = st.binary(max_size=300).map(lambda data: data.replace(b'\n', b'').rstrip(b'\r'))
texts = st.text(max_size=100).map(lambda text: re.sub('[\r\n]', '', text))
widest = st.integers(1, 100).map(lambda length: '🐍' * length)


def messages(size: int, data: bytes) -> list[bytes]:
    """Return data, as entered on standard input, in messages for this BUFSIZ."""
    text = {'encoding': 'utf-8', 'errors': 'surrogateescape', 'newline': '\n'}
    stdin = io.TextIOWrapper(io.BytesIO(data), **text)
    with mock.patch.object(common, 'BUFSIZ', size), mock.patch.object(sys, 'stdin', stdin):
        return list(common.entered('> '))


@given(sizes, lines | texts.map(str.encode) | widest.map(str.encode))
def test_a_line_becomes_messages_that_fit_and_keep_its_bytes_and_characters(size, line):
    for end in b'', b'\n', b'\r\n':
        cut = messages(size, line + end)
        assert b''.join(cut) == line
        assert all(len(common.stamped(message) + b'\n') <= size for message in cut)
        assert all(cut) or cut == [line] == [b'']
        if line.decode(errors='ignore').encode() == line:  # it is UTF-8
            assert ''.join(message.decode() for message in cut).encode() == line


def test_no_message_is_too_long_for_a_datagram_whatever_bufsiz_is():
    first, second = messages(100_000, b'x' * 70_000)
    assert len(common.stamped(first) + b'\n') == 65507
    assert first + second == b'x' * 70_000


@given(st.binary(), st.lists(st.integers(0, 2**32), min_size=2))
def test_a_reply_is_what_ctime_gives_whichever_came_before_and_the_data_untouched(data, seconds):
    for second in seconds:
        with mock.patch.object(common, 'time', return_value=second + 0.999):
            stamp = f'[{common.ctime(second)}]'.encode()
            assert common.stamped(data) == stamp + data
            assert re.fullmatch(STAMP, stamp)
