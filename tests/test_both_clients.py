"""What both clients keep to in a pipe: lines in, replies out, of any bytes."""

import os
import shlex
import subprocess

import helpers
import pytest
from helpers import ROOT, command, departure, pairs, run, unstamped

UNBUFFERED = pytest.mark.parametrize('unbuffered', ['', '1'])
INPUTS = {
    'no newline at the end': (b'a\nb', b'a\nb\n'),
    'an empty line quits': (b'a\n\nb\n', b'a\n'),
    'CRLF ends a line': (b'a\r\nb\r\n', b'a\nb\n'),
    'an empty line quits, CRLF': (b'a\r\n\r\nb\r\n', b'a\n'),
    'no input': (b'', b''),
    'CR is data': (b'a\rb\n\r', b'a\rb\n'),
    'spaces are data': (b'a  \n\t\n', b'a  \n\t\n'),
}


@departure('`entered()`, in a pipe', seen='EOFError')
@pairs
def test_replies_alone(serve, folder, script, client):
    port = serve(script).port

    ended = run(folder, client, port, b'a\nb\n')

    assert ended.stderr.decode() == ''
    assert unstamped(ended.stdout) == b'a\nb\n'


@pytest.mark.parametrize(('data', 'replies'), INPUTS.values(), ids=INPUTS)
@pairs
def test_input(serve, script, client, data, replies):
    port = serve(script).port

    ended = run(ROOT, client, port, data)

    assert (unstamped(ended.stdout), ended.stderr, ended.returncode) == (replies, b'', 0)


@departure('data stays bytes', seen='Unicode(De|En)codeError')
@pairs
def test_bytes_that_are_no_utf8(serve, folder, script, client):
    port = serve(script, folder=ROOT).port

    ended = run(folder, client, port, b'caf\xe9\n\xff\xfe\0\n')

    assert ended.stderr.decode() == ''
    assert unstamped(ended.stdout) == b'caf\xe9\n\xff\xfe\0\n'


LOCALES = {
    'ASCII': {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'},
    'UTF-8': {'LC_ALL': 'C.UTF-8'},
    'of old DOS': {'PYTHONIOENCODING': 'cp437:strict'},
}


@pytest.mark.parametrize('variables', LOCALES.values(), ids=LOCALES)
@pairs
def test_text_is_utf8_in_every_locale(serve, script, client, variables):
    port = serve(script).port
    text = 'é€🐍\n'.encode()

    ended = run(ROOT, client, port, text, env=os.environ | variables)

    assert (unstamped(ended.stdout), ended.stderr) == (text, b'')


@pairs
def test_many_lines_stay_in_step(serve, script, client):
    """Lines of each length around BUFSIZ: each comes back before the next."""
    port = serve(script).port
    lengths = [1, *range(995, 1000), *range(1020, 1028), *range(2040, 2056), 20_000, 60_000, 1]
    lines = [b'%d:' % length + b'x' * length for length in lengths]

    ended = run(ROOT, client, port, b'\n'.join(lines))

    assert (ended.stderr, ended.returncode) == (b'', 0)
    assert unstamped(ended.stdout).splitlines() == lines


@pytest.mark.parametrize('bufsiz', ['1', '31', '100000'])
@pairs
def test_another_bufsiz(serve, edited, script, client, bufsiz):
    folder = edited('BUFSIZ = 1024', f'BUFSIZ = {bufsiz}')
    port = serve(script, folder=folder).port
    text = 'one\nfünf\n'.encode() + b'x' * 3000 + b'\n'

    ended = run(folder, client, port, text)

    assert (unstamped(ended.stdout), ended.stderr) == (text, b'')


@UNBUFFERED
@pairs
def test_head_has_its_line(serve, script, client, unbuffered):
    """The client ends when its reader has gone, and does not blame the server."""
    words = shlex.join(command(ROOT, client, serve(script).port))
    pipeline = f'yes | {{ {words}; echo "status $?" >&2; }} | head -1'

    ended = subprocess.run(
        ['sh', '-c', pipeline],
        env=os.environ | {'PYTHONUNBUFFERED': unbuffered},
        capture_output=True,
        timeout=helpers.PATIENCE,
    )

    assert unstamped(ended.stdout) == b'y\n'
    assert ended.stderr.decode() == f'{client}: standard output: Broken pipe\nstatus 1\n'


@UNBUFFERED
@pairs
def test_full_disk(serve, script, client, unbuffered):
    port = serve(script).port

    with open('/dev/full', 'w') as full:
        variables = os.environ | {'PYTHONUNBUFFERED': unbuffered}
        ended = run(ROOT, client, port, b'a\n', stdout=full, env=variables)

    assert ended.stderr.decode() == f'{client}: standard output: No space left on device\n'
    assert ended.returncode == 1
