"""Each script is an ordinary program: what a reader knows of Python holds in it."""

import os
import pstats
import signal
import subprocess
import sys

import helpers
import pytest
from helpers import CLIENTS, ROOT, free_port, pairs, run, servers, unstamped

RUN = """
import os, runpy, sys

sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])  # as for a script that Python runs itself


def run_script():
    runpy.run_path(sys.argv[0], run_name='__main__')
"""


def larger_program(code: str) -> list[str]:
    """Return the words for a larger program: code, which calls run_script()."""
    return [sys.executable, '-c', RUN + code]


@servers
def test_ctrl_c_runs_finally_and_atexit(serve, tmp_path, script):
    """A file that was left open has what was written to it, too."""
    file = tmp_path / 'file'
    server = serve(
        script,
        env=os.environ | {'FILE': str(file)},
        python=larger_program("""
import atexit, os

atexit.register(print, 'atexit')
file = open(os.environ['FILE'], 'w')
file.write('written')
try:
    run_script()
finally:
    print('finally')
"""),
    )

    assert server.stop(signal.SIGINT) == 0

    assert server.log.endswith('...\nfinally\natexit\n')
    assert file.read_text() == 'written'


@servers
def test_ctrl_c_under_a_profiler(serve, tmp_path, script):
    file = tmp_path / 'profile'
    server = serve(script, python=[sys.executable, '-m', 'cProfile', '-o', str(file)])
    server.ask(b'hi')

    assert server.stop(signal.SIGINT) == 0

    functions = [name for _, _, name in pstats.Stats(str(file)).stats]
    assert 'timestamp' in functions


@servers
def test_ctrl_c_under_python_i(serve, script):
    """The reader can then look at what the script has left."""
    server = serve(script, python=[sys.executable, '-i'], stdin=subprocess.PIPE)

    helpers.wait_for_sleep(server.process.pid)
    server.process.send_signal(signal.SIGINT)
    server.process.communicate(b"print('the address was', ADDR)\n", helpers.PATIENCE)

    assert f"the address was ('', {server.port})\n" in server.log


@servers
def test_child_of_a_server(serve, edited, script):
    """A process that a reader's server starts ends by Ctrl-C as any other."""
    bind = 'SerSock.bind(ADDR)'
    child = "import subprocess; print(subprocess.call(['sh', '-c', 'kill -INT $$; kill $$']))"

    server = serve(script, folder=edited(bind, f'{bind}; {child}'))

    assert server.log.startswith(f'{-signal.SIGINT:d}\n')


@servers
def test_sigint_that_is_ignored(serve, script):
    """So a shell script starts `server &`, which Ctrl-C at something else is not to end."""
    server = serve(script, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))

    server.process.send_signal(signal.SIGINT)

    assert unstamped(server.ask(b'still there?')) == b'still there?'


@servers
def test_server_in_a_thread(serve, script):
    server = serve(
        script,
        python=larger_program("""
import threading

thread = threading.Thread(target=run_script)
thread.start()
thread.join()
"""),
    )

    assert unstamped(server.ask(b'hi')) == b'hi'


NOTHING_CHANGES = """
import os, signal, socket, sys, threading

def state():
    streams = [sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__]
    settings = [(stream, stream.encoding, stream.errors) for stream in streams]
    handlers = [signal.getsignal(signum) for signum in signal.valid_signals()]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    descriptors = os.listdir('/proc/self/fd')
    return settings, handlers, mask, descriptors, threading.enumerate(), socket.getdefaulttimeout()

before = state()
import common
assert state() == before
"""


def test_import_of_common():
    """It changes nothing around it: no stream, no descriptor, no handler, no thread."""
    subprocess.run(
        [sys.executable, '-c', NOTHING_CHANGES], cwd=ROOT, check=True, timeout=helpers.PATIENCE
    )


GOES_ON = """
import signal, socket

before = sys.stdin, sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT)
for _ in range(2):
    try:
        run_script()
    except SystemExit as end:
        print('status', end.code)
assert before == (sys.stdin, sys.stdout, sys.stderr, signal.getsignal(signal.SIGINT))
print('goes on', socket.getdefaulttimeout())
"""


def test_no_server_in_a_notebook():
    """A larger program sees SystemExit, and goes on."""
    port = free_port()

    ended = run(ROOT, 'tsTclnt.py', port, b'', python=larger_program(GOES_ON))

    line = f'status tsTclnt.py: localhost port {port}: Connection refused\n'
    assert ended.stdout.decode() == f'{line}{line}goes on None\n'
    assert ended.stderr == b''


@pytest.mark.parametrize('client', CLIENTS)
def test_full_disk_of_a_larger_program(client):
    """What it has printed cannot be written: that is told with its own reason."""
    python = larger_program("print('kept until now')\nrun_script()")

    with open('/dev/full', 'w') as full:
        ended = run(ROOT, client, free_port(), b'a\nb\n', python=python, stdout=full)

    assert ended.stderr.decode() == f'{client}: standard output: No space left on device\n'
    assert ended.returncode == 1


CTRL_C_AT_THE_PROMPT = """
import builtins

def interrupted(prompt):
    raise KeyboardInterrupt

builtins.input = interrupted
print('kept until now')
run_script()
"""


@pairs
def test_ctrl_c_with_a_full_disk(serve, script, client):
    """Python does not complain at its end of what it cannot write."""
    port = serve(script).port
    python = larger_program(CTRL_C_AT_THE_PROMPT)

    with open('/dev/full', 'w') as full:
        ended = run(ROOT, client, port, b'', python=python, stdout=full)

    assert (ended.stderr, ended.returncode) == (b'', 0)


@pairs
def test_success_in_a_notebook(serve, script, client):
    """There is no SystemExit then: it would end what runs the script."""
    port = serve(script).port

    ended = run(ROOT, client, port, b'a\n\nb\n', python=larger_program(GOES_ON))

    assert unstamped(ended.stdout) == b'a\nb\ngoes on None\n'
    assert ended.stderr == b''


WINDOW = """
import io, os

class Window(io.StringIO):  # a terminal to whoever asks, but without a descriptor
    def isatty(self):
        return True

class Log:
    def __getattr__(self, name):  # what Thonny's has not itself is that of the real stream
        return getattr(real, name)
    def write(self, text):
        os.write(1, text.encode())
    def isatty(self):
        return True

real = sys.stdout

sys.stdin = sys.__stdin__ = Window('hi\\né\\ncaf\\udce9\\n\\n')
sys.stdout = sys.__stdout__ = Log()
run_script()
"""


@pairs
def test_window_of_thonny(serve, script, client):
    """The streams are then the window's own: no files, even if the output passes for one."""
    server = serve(script, python=larger_program(WINDOW))

    ended = run(ROOT, client, server.port, b'', python=larger_program(WINDOW))

    # The byte e9 is no UTF-8, and a window would show nothing of a line with a stand-in.
    assert unstamped(ended.stdout).decode() == '> hi\n> é\n> caf\ufffd\n> '
    assert ended.stderr == b''
    server.wait_for(helpers.CAME[script])


@pairs
def test_no_standard_input(serve, script, client):
    """As under pythonw, Windows' Python without a console."""
    python = larger_program('sys.stdin = None\nrun_script()')

    ended = run(ROOT, client, serve(script).port, b'', python=python)

    assert (ended.stdout, ended.stderr, ended.returncode) == (b'', b'', 0)


@pairs
def test_input_that_was_read_already(serve, script, client):
    """A larger program may read a line before the script has the rest."""
    python = larger_program('print("first:", input())\nrun_script()')

    ended = run(ROOT, client, serve(script).port, b'a\nb\n', python=python)

    assert unstamped(ended.stdout) == b'first: a\nb\n'
    assert ended.stderr == b''


@pairs
def test_mistake_in_the_code(serve, edited, script, client):
    """It keeps its traceback."""
    folder = edited('data = entered(', 'data = enterd(')
    port = serve(script).port

    ended = run(folder, client, port, b'hi\n')

    assert 'Traceback' in ended.stderr.decode()
    assert "NameError: name 'enterd' is not defined" in ended.stderr.decode()
    assert ended.returncode == 1
