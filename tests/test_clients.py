"""What both clients keep to, with the servers that they are made for."""

import os
import re
import shlex
import subprocess

import pytest
from helpers import (
    EVERY_BYTE,
    PAIRS,
    PATIENCE,
    ROOT,
    STAMP,
    command,
    run,
    start_client,
    unstamped,
)


def replies(result: subprocess.CompletedProcess) -> bytes:
    """Return what a client wrote, without the timestamps, if it had no trouble."""
    assert (result.stderr, result.returncode) == (b'', 0)
    return unstamped(result.stdout)


# A filter


def test_in_a_pipe_it_prints_the_replies_alone(pair):
    result = run(pair.client, pair.server.port, b'a\nb\n')
    assert re.fullmatch(STAMP + rb'a\n' + STAMP + rb'b\n', result.stdout)
    assert (result.stderr, result.returncode) == (b'', 0)


def test_a_last_line_without_a_newline_is_sent_as_well(pair):
    assert replies(run(pair.client, pair.server.port, b'a\nb')) == b'a\nb\n'


def test_an_empty_line_quits_it(pair):
    assert replies(run(pair.client, pair.server.port, b'a\n\nb\n')) == b'a\n'


def test_empty_input_quits_it(pair):
    assert replies(run(pair.client, pair.server.port, b'')) == b''


def test_each_reply_is_there_before_the_next_line_is_entered(pair):
    with start_client(pair.client, pair.server.port) as client:
        for line in b'a\n', b'b\n':
            client.stdin.write(line)
            assert unstamped(client.stdout.readline()) == line
        client.stdin.close()
        assert client.wait(PATIENCE) == 0


def test_head_gets_its_line_and_nobody_sees_a_traceback_or_an_error(pair):
    client = shlex.join(command(pair.client, pair.server.port))
    pipeline = f'yes | {{ {client}; echo "status $?" >&2; }} | head -1'
    result = subprocess.run(
        ['sh', '-c', pipeline], capture_output=True, timeout=PATIENCE
    )
    assert unstamped(result.stdout) == b'y\n'
    assert result.stderr == b'status 0\n'


def test_a_full_disk_is_an_error_of_one_line(pair):
    with open('/dev/full', 'wb') as full:
        output = {'stdout': full, 'stderr': subprocess.PIPE, 'capture_output': False}
        result = run(pair.client, pair.server.port, b'a\nb\n', **output)
    assert result.returncode == 1
    expected = rf'{pair.client}: localhost port \d+: No space left on device\n'
    assert re.fullmatch(expected, result.stderr.decode())


def test_a_reply_of_which_a_write_takes_a_part_only_is_shown_whole(pair, before_script):
    environment = before_script(
        """
        import os

        write = os.write
        os.write = lambda fd, data: write(fd, data[:7])
        """
    )
    data = b'0123456789' * 300 + b'\n'
    result = run(pair.client, pair.server.port, data, env=environment)
    assert replies(result).replace(b'\n', b'') == data.strip()


def test_with_its_input_closed_it_quits(pair):
    result = run(pair.client, pair.server.port, None, preexec_fn=lambda: os.close(0))
    assert replies(result) == b''


def test_with_its_output_closed_it_goes_on_to_the_end(pair):
    closed = {
        'preexec_fn': lambda: os.close(1),
        'stdout': None,
        'capture_output': False,
    }
    result = run(pair.client, pair.server.port, b'a\nb\n', **closed)
    assert result.returncode == 0
    pair.server.wait_for("('127.0.0.1', ")


# Lines of any length, bytes of any kind


def test_lines_of_every_length_around_bufsiz_come_back_each_in_step(pair):
    lengths = [*range(1, 30), *range(990, 1030), *range(1990, 2000), 2048, 4096, 10000]
    lines = [(b'%d:' % length * length)[:length] for length in lengths]
    shown = replies(run(pair.client, pair.server.port, b'\n'.join(lines)))
    for line in lines:
        whole = b''
        while len(whole) < len(line):
            reply, _, shown = shown.partition(b'\n')
            whole += reply
        assert whole == line
    assert shown == b''


ASCII = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}
UTF_8 = {'LC_ALL': 'C.UTF-8'}


@pytest.mark.parametrize('locale', [ASCII, UTF_8], ids=['ASCII', 'UTF-8'])
@pytest.mark.parametrize('character', ['é', '€', '🐍', 'aé€🐍'])
def test_no_character_of_a_long_line_is_broken_whatever_the_locale(
    pair, character, locale
):
    for shift in range(4):
        line = 'x' * shift + character * 1000
        environment = os.environ | locale
        result = run(pair.client, pair.server.port, line.encode(), env=environment)
        shown = [unstamped(reply).decode() for reply in result.stdout.splitlines()]
        assert len(shown) > 1
        assert ''.join(shown) == line


def test_a_line_of_many_megabytes_comes_back_whole_and_the_next_one_in_step(pair):
    line = b'0123456789abcdef' * 2**19
    result = run(pair.client, pair.server.port, b'before\n' + line + b'\nafter\n')
    before, *parts, after = replies(result).splitlines()
    assert (before, after) == (b'before', b'after')
    assert b''.join(parts) == line


@pytest.mark.parametrize('locale', ['C', 'C.UTF-8', 'POSIX'])
@pytest.mark.parametrize('utf8_mode', ['0', '1'])
def test_input_that_is_not_utf_8_comes_back_byte_for_byte(pair, locale, utf8_mode):
    data = (
        EVERY_BYTE.replace(b'\n', b'') * 10
        + b'\ncaf\xe9\n\xff\xfe\0\n'
        + b'\x80' * 3000
        + b'\r\n'
    )
    environment = os.environ | {'LC_ALL': locale, 'PYTHONUTF8': utf8_mode}
    result = run(pair.client, pair.server.port, data, env=environment)
    assert replies(result).replace(b'\n', b'') == data.replace(b'\n', b'')


SIZES = [(31, 31), (64, 64), (4096, 4096), (100000, 100000), (64, 4096), (4096, 64)]


@pytest.mark.parametrize(('server_size', 'client_size'), SIZES)
@pytest.mark.parametrize(('script', 'client'), PAIRS, ids=['TCP', 'UDP'])
def test_it_works_with_bufsiz_set_to_another_value_on_either_side(
    serve, tmp_path, script, client, server_size, client_size
):
    for side, size in ('server', server_size), ('client', client_size):
        (tmp_path / side).mkdir()
        for path in ROOT.glob('*.py'):
            text = path.read_text().replace('BUFSIZ = 1024', f'BUFSIZ = {size}')
            (tmp_path / side / path.name).write_text(text)
    port = serve(script, root=tmp_path / 'server').port
    data = b'x\n' + '0123456789é'.encode() * 10000 + b'\ny\n'
    result = run(client, port, data, root=tmp_path / 'client')
    assert replies(result).replace(b'\n', b'') == data.replace(b'\n', b'')
    assert unstamped(result.stdout.splitlines()[-1]) == b'y'
