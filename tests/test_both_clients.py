"""What both clients keep to: lines in, replies out, of any length and any bytes."""

import os
import re
import shlex
import subprocess

import pytest
from helpers import LISTINGS, PATIENCE, STAMP, command, pairs, run, start_client, unstamped

EVERY_BYTE = bytes(range(256)).replace(b'\n', b'')
ASCII = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}
ENVIRONMENTS = [ASCII, {'LC_ALL': 'C.UTF-8'}, {'PYTHONIOENCODING': 'cp437:strict'}]
UNBUFFERED = [os.environ | {'PYTHONUNBUFFERED': value} for value in ('', '1')]


def replies(result: subprocess.CompletedProcess) -> bytes:
    """Return what a client wrote, without the timestamps, if it had no trouble."""
    assert (result.stderr, result.returncode) == (b'', 0)
    return unstamped(result.stdout)


def test_in_a_pipe_it_prints_the_replies_alone(root, pair):
    result = run(pair.client, pair.server.port, b'a\nb\n', root=root)
    assert (result.stderr, result.returncode) == (b'', 0)
    assert re.fullmatch(STAMP + rb'a\n' + STAMP + rb'b\n', result.stdout)


INPUTS = {
    'a last line without a newline': (b'a\nb', b'a\nb\n'),
    'an empty line': (b'a\n\nb\n', b'a\n'),
    'an empty line that ends in CRLF': (b'a\r\n\r\nb\r\n', b'a\n'),
    'no input': (b'', b''),
    'no line but CR and LF': (b'a\rb\n\r', b'a\rb\n'),
    'a line of spaces': (b'  \nb\n', b'  \nb\n'),
}


def test_a_line_ends_with_lf_or_crlf_and_an_empty_one_quits(pair):
    for name, (data, expected) in INPUTS.items():
        result = run(pair.client, pair.server.port, data)
        assert (result.stderr, result.returncode) == (b'', 0)
        assert re.sub(STAMP, b'', result.stdout) == expected, name


def test_each_reply_is_there_before_the_next_line_is_entered(pair):
    with start_client(pair.client, pair.server.port) as client:
        for line in b'a\n', b'b\n':
            client.stdin.write(line)
            assert unstamped(client.stdout.readline()) == line
        client.stdin.close()
        assert client.wait(PATIENCE) == 0


# Its output


def test_head_gets_its_line_and_nobody_sees_a_traceback_or_an_error(pair):
    client = shlex.join(command(pair.client, pair.server.port))
    pipeline = ['sh', '-c', f'yes | {{ {client}; echo "status $?" >&2; }} | head -1']
    for environment in UNBUFFERED:
        popen = {'env': environment, 'capture_output': True, 'timeout': PATIENCE}
        result = subprocess.run(pipeline, **popen)
        assert unstamped(result.stdout) == b'y\n'
        assert result.stderr == b'status 0\n'


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
            output = {'stdout': full, 'stderr': subprocess.PIPE, 'capture_output': False}
            result = run(pair.client, pair.server.port, b'a\n', env=environment, **output)
        assert re.fullmatch(expected, result.stderr.decode())
        assert result.returncode == 1


def test_no_reply_is_lost_without_a_word_where_a_pipe_takes_no_more_at_once(pair):
    data = b'0123456789' * 10000 + b'\n'  # more than a pipe holds
    for environment in UNBUFFERED:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        output = {'stdout': writer, 'stderr': subprocess.PIPE, 'capture_output': False}
        result = run(pair.client, pair.server.port, data, env=environment, **output)
        os.close(writer)
        with open(reader, 'rb') as file:
            shown = file.read()
        assert (result.returncode, result.stderr.count(b'\n')) == (1, 1)
        whole, _, _ = shown.rpartition(b'\n')
        assert data.startswith(unstamped(whole).replace(b'\n', b''))


def test_with_a_standard_stream_closed_it_goes_on_as_far_as_it_can(pair):
    for closed in '0', '1', '2', '012':
        words = shlex.join(command(pair.client, pair.server.port))
        shell = f'printf "a\\nb\\n" | {words} ' + ' '.join(f'{fd}>&-' for fd in closed)
        result = subprocess.run(['sh', '-c', shell], capture_output=True, timeout=PATIENCE)
        assert (result.stderr, result.returncode) == (b'', 0)
        assert unstamped(result.stdout) == (b'a\nb\n' if closed == '2' else b'')
        if closed == '1':
            pair.server.wait_for("('127.0.0.1', ")


def test_with_its_errors_closed_an_error_is_not_among_the_replies(udp_peer):
    port = udp_peer.getsockname()[1]
    result = run('tsTclnt.py', port, b'a\n', preexec_fn=lambda: os.close(2))
    assert (result.stdout, result.returncode) == (b'', 1)


# Lines of any length, bytes of any kind


@pytest.mark.parametrize('client', ['tsTclnt.py', 'tsUclnt.py'])
def test_long_lines_are_cut_into_messages_whose_replies_fit(serve, root, client):
    server = 'tsTserv.py' if client == 'tsTclnt.py' else 'tsUserv.py'
    port = serve(server, root=LISTINGS).port  # which takes no more than BUFSIZ at a time
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


def test_no_character_of_a_long_line_is_broken_whatever_the_locale(pair):
    line = 'x' + 'é€🐍' * 1000
    for environment in ENVIRONMENTS:
        environment = os.environ | environment
        result = run(pair.client, pair.server.port, line.encode(), env=environment)
        shown = [unstamped(reply).decode() for reply in result.stdout.splitlines()]
        assert len(shown) > 1
        assert ''.join(shown) == line


def test_input_that_is_not_utf_8_comes_back_byte_for_byte(pair):
    data = EVERY_BYTE * 10 + b'\ncaf\xe9\n\xff\xfe\0\n' + b'\x80' * 3000
    for environment in ENVIRONMENTS:
        result = run(pair.client, pair.server.port, data, env=os.environ | environment)
        assert replies(result).replace(b'\n', b'') == data.replace(b'\n', b'')


@pytest.mark.parametrize('sizes', [(31, 31), (64, 4096), (100000, 64)])
@pairs
def test_it_works_with_bufsiz_set_to_another_value_on_either_side(
    serve, edited, script, client, sizes
):
    roots = [
        edited('BUFSIZ = 1024', f'BUFSIZ = {size}', side)
        for side, size in zip(['server', 'client'], sizes, strict=True)
    ]
    port = serve(script, root=roots[0]).port
    data = b'x\n' + '0123456789é'.encode() * 400 + b'\ny\n'
    result = run(client, port, data, root=roots[1])
    assert replies(result).replace(b'\n', b'') == data.replace(b'\n', b'')
    assert unstamped(result.stdout.splitlines()[-1]) == b'y'
