"""The listings: they run as they are, work together with the scripts, and each breaks
the promises that make up the README's table of departures.
"""

import inspect
import re
import subprocess
import sys
import types

import helpers
import pytest
import test_both_clients
import test_both_servers
import test_command_line
import test_signals
import test_tcp_client
import test_tcp_server
import test_terminal
import test_udp_client
import test_udp_server
from helpers import LISTINGS, PATIENCE, ROOT, STAMP, pairs, start_client, unstamped

KINDS = {'script': ROOT, 'listing': LISTINGS}


@pytest.mark.parametrize('client_kind', KINDS)
@pytest.mark.parametrize('server_kind', KINDS)
@pairs
def test_scripts_and_listings_work_together(serve, script, client, server_kind, client_kind):
    port = serve(script, root=KINDS[server_kind]).port
    space = b'' if server_kind == 'script' else b' '
    prompt = b'' if client_kind == 'script' else b'> '
    with start_client(client, port, root=KINDS[client_kind]) as process:
        for line in b'hi\n', b'spanish inquisition\n':
            process.stdin.write(line)
            assert re.fullmatch(prompt + STAMP + space + line, process.stdout.readline())
        process.stdin.write(b'\n')
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == b''


@pairs
def test_a_listing_runs_as_it_is(loopback, script, client):  # there, its port is free
    words = [sys.executable, '-u', LISTINGS / script]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline().startswith(b'waiting for ')
            words = [sys.executable, LISTINGS / client]
            output = subprocess.check_output(words, input=b'hi\n\n', timeout=PATIENCE)
        finally:
            process.kill()
    assert unstamped(output) == b'> hi\n> '


LINES = {  # as the section numbers them
    'tsTserv.py': '3 from, 4 from, 6 HOST, 9 ADDR, 11 tcpSerSock =, 12 tcpSerSock.bind,'
    '13 tcpSerSock.listen, 15 while, 28 tcpSerSock.close',
    'tsTclnt.py': '3 from, 5 HOST, 10 tcpCliSock =, 11 tcpCliSock.connect, 13 while,'
    '14 data = input, 16 break, 18 data = tcpCliSock, 20 break, 23 tcpCliSock.close',
    'tsUserv.py': '3 from, 4 from, 6 HOST, 11 udpSerSock =, 12 udpSerSock.bind, 14 while,'
    '21 udpSerSock.close',
    'tsUclnt.py': '3 from, 5 HOST, 10 udpCliSock =, 12 while, 22 udpCliSock.close',
}


@pytest.mark.parametrize('script', LINES)
def test_a_listing_has_its_statements_on_the_lines_that_the_section_names(script):
    listing = (LISTINGS / script).read_text().splitlines()
    example = ['tsTserv.py', 'tsTclnt.py', 'tsUserv.py', 'tsUclnt.py'].index(script) + 1
    for line in f'1 #!, 2 # Example 16.{example} ,{LINES[script]}'.split(','):
        number, start = line.strip().split(' ', 1)
        assert listing[int(number) - 1].strip().startswith(start)
    assert len(listing) == int(number)


# A departure is a row of the README's table, a promise that a test of the scripts checks,
# what is seen when it is held against the listing, and with what, where that matters.

TCP = {'script': 'tsTserv.py', 'client': 'tsTclnt.py', 'threads': (), 'unbuffered': ''}
# fmt: off
DEPARTURES = [
    ('no space after `]`', test_tcp_server.test_a_message_comes_back_right_behind_the_time,
     r'\] hi'),
    ('`sendall()`', test_tcp_server.test_a_reply_that_a_signal_interrupts_comes_back_whole,
     'are lost'),
    ('a newline ends a message',
     test_tcp_client.test_a_reply_that_arrives_in_parts_leaves_it_in_step,
     r'\[\]o\\nne'),
    ('long lines are cut into messages',
     test_both_clients.test_long_lines_are_cut_into_messages_whose_replies_fit,
     '9.. == 2000', {'client': 'tsUclnt.py'}),
    ('`SO_REUSEADDR`', test_tcp_server.test_it_starts_again_at_once_under_a_connected_client,
     'Address already in use'),
    ('`SO_KEEPALIVE`', test_tcp_server.test_a_vanished_client_does_not_hold_it_for_ever,
     'waited in vain'),
    ('`TCP_NODELAY`', test_tcp_server.test_no_part_of_a_reply_waits_for_the_one_before,
     'parts have waited for each other'),
    ('`listen(1024)`', test_tcp_server.test_500_clients_at_once_are_all_let_in_and_served,
     r'only \d\d? are let in'),
    ('`--threads N`', test_tcp_server.test_with_n_threads_it_serves_n_clients_at_once_and_no_more,
     'timed out'),
    ('a lost client ends its dialog alone',
     test_tcp_server.test_a_client_that_resets_in_mid_dialog_ends_its_dialog_alone,
     'ConnectionResetError'),
    ('data stays bytes', test_tcp_server.test_any_bytes_come_back_untouched,
     'UnicodeDecodeError'),
    ('`recvfrom(65535)`', test_udp_server.test_datagrams_of_any_size_come_back_whole,
     'assert b.0123456789'),
    ('no reply to ports below 1024',
     test_udp_server.test_a_datagram_from_port_0_is_logged_and_does_no_harm,
     r'OSError: \[Errno 22\] Invalid argument'),
    ('no reply to its own port', test_udp_server.test_a_datagram_from_its_own_port_is_logged_alone,
     'not returned to'),
    ('two seconds for a reply, then a new socket',
     test_udp_client.test_it_does_not_wait_for_ever_nor_show_a_late_reply,
     'timed out'),
    ('no reply from another port', test_udp_client.test_a_stranger_is_neither_shown_nor_asked_next,
     'not one', {'strange': b'not one'}),
    ('`exit_on_signal()`', test_both_servers.test_a_signal_ends_it_with_status_0_and_no_other_word,
     'KeyboardInterrupt', {'signum': 2}),
    ('`signal(SIGINT, SIG_DFL)`', test_signals.test_ctrl_c_ends_a_script_while_it_looks_a_name_up,
     'timed out', {'script': 'tsTclnt.py'}),
    ('`errors_reported()`', test_command_line.test_a_port_in_use_is_an_error_of_one_line,
     r'Traceback[^$]*OSError: \[Errno 98\]'),
    ('`flush=True`', test_both_servers.test_in_a_pipe_the_log_is_live_and_each_line_whole,
     'timed out'),
    ('`going_on`', test_both_servers.test_when_the_reader_of_its_log_has_gone_it_goes_on,
     'BrokenPipeError'),
    ('`entered()`, in a pipe', test_both_clients.test_in_a_pipe_it_prints_the_replies_alone,
     'EOFError'),
    ('`entered()`, on a terminal',
     test_terminal.test_enter_end_of_input_and_ctrl_c_quit_the_client,
     'EOFError', {'key': 'Ctrl-D'}),
]
# fmt: on


@pytest.fixture
def root():
    """The folder of the programs that a promise is held against here."""
    return LISTINGS


@pytest.fixture
def pair(tcp):
    """The TCP server of the listings, running, and the name of the client for it."""
    return types.SimpleNamespace(server=tcp, client='tsTclnt.py')


@pytest.mark.parametrize('departure', DEPARTURES, ids=lambda departure: departure[0])
def test_a_listing_breaks_the_promise_that_the_script_keeps(
    request, monkeypatch, tmp_path, departure
):
    _, promise, seen, *more = departure
    given = TCP | dict(*more)
    names = inspect.signature(promise).parameters
    values = {name: given[name] for name in names if name in given}
    for name in names - given.keys():
        values[name] = request.getfixturevalue(name)
    monkeypatch.setattr(helpers, 'PATIENCE', 4)  # it waits in vain, so not for long
    with pytest.raises((Exception, pytest.fail.Exception)) as failure:
        promise(**values)
    monkeypatch.undo()

    def evidence() -> str:
        errors = [path.read_text() for path in tmp_path.glob('*.2')]
        return '\n'.join([str(failure.value), *errors])

    helpers.wait_until(lambda: re.search(seen, evidence()))


def test_the_readme_has_a_row_for_each_departure_and_no_other():
    table = (ROOT / 'README.md').read_text().partition('| what happens without it |')[2]
    rows = re.findall(r'^\| (.*?) \|', table.partition('\n\n')[0], re.MULTILINE)
    assert rows == [departure[0] for departure in DEPARTURES]
