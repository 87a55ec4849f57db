"""What both servers keep to: the reply, the log and whoever reads it, the end."""

import os
import re
import signal
import time

import pytest
from helpers import CAME, ROOT, STAMP, WAITS, departure, free_port, run, servers, wait_until


@departure('no space after `]`', seen=r'\] hi')
@servers
def test_reply(serve, script):
    assert re.fullmatch(STAMP + b'hi', serve(script).ask(b'hi'))


@departure('data stays bytes', seen='UnicodeDecodeError')
@servers
def test_any_bytes_come_back(serve, script):
    server = serve(script)

    every_byte = bytes(range(256))

    assert server.ask(every_byte)[26:] == every_byte


@servers
def test_time_of_the_server(serve, script):
    """The stamp is the server's local time, also some seconds later."""
    server = serve(script, env=os.environ | {'TZ': 'EAST-05:30'})

    for pause in [0, 3]:
        time.sleep(pause)
        before = int(time.time()) - 1  # the two clocks may differ by a tick
        stamp = server.ask(b'what time is it?')[1:25].decode()
        after = int(time.time())

        seconds = range(before, after + 1)
        assert stamp in [time.asctime(time.gmtime(second + 5.5 * 3600)) for second in seconds]


@servers
def test_log(serve, script):
    server = serve(script)

    with server.connect() as client:
        addr = client.getsockname()
        client.send(b'hi')
        client.recv(1024)

    book = f'{WAITS[script]}\n{CAME[script]} {addr}\n{WAITS[script]}\n'
    wait_until(lambda: server.log == book)
    assert server.errors == ''


@departure('`flush=True`', seen='waited in vain')
@servers
def test_log_is_live(serve, script):
    """In a file or a pipe, where Python keeps output back, a line is there at once.

    The listing's log does not even say that it waits.
    """
    server = serve(script, env=os.environ | {'PYTHONUNBUFFERED': ''})

    server.ask(b'hi')

    server.wait_for(CAME[script])


@pytest.mark.parametrize('unbuffered', ['', '1'])
@servers
def test_reader_of_the_log_goes(serve, script, unbuffered):
    reader, log = os.pipe()
    server = serve(script, stdout=log, env=os.environ | {'PYTHONUNBUFFERED': unbuffered})

    os.close(reader)
    os.close(log)
    server.answers()  # and so it has a line to print

    wait_until(lambda: server.process.poll() == 1)
    assert re.match(f'{script}: .*: Broken pipe\n', server.errors)
    assert 'BrokenPipeError' not in server.errors


@servers
def test_full_disk(script):
    with open('/dev/full', 'w') as full:
        ended = run(ROOT, script, free_port(), b'', stdout=full)

    assert ended.returncode == 1
    assert re.fullmatch(rf'{script}: .*: No space left on device\n', ended.stderr.decode())


@departure('`except KeyboardInterrupt`', seen='Traceback')
@servers
def test_ctrl_c(serve, script):
    server = serve(script)

    status = server.stop(signal.SIGINT)

    assert server.errors == ''
    assert status == 0
    assert server.log == f'{WAITS[script]}\n'  # in a file, no newline is added


@servers
def test_sigterm_has_its_default_action(serve, script):
    server = serve(script)

    assert server.stop(signal.SIGTERM) == -signal.SIGTERM
    assert server.errors == ''
