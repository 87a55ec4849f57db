"""The pure parts of common.py, by their properties: cutting lines, stamping data."""

import io
import re
import sys
from unittest import mock

from helpers import STAMP
from hypothesis import given, settings
from hypothesis import strategies as st

import common

settings.register_profile('any machine', deadline=None)
settings.load_profile('any machine')

sizes = st.integers(31, 100)  # of BUFSIZ
bytes_of_a_line = st.binary(max_size=300).map(lambda data: data.replace(b'\n', b''))
# A CR that ends a line is a part of its end.
lines = bytes_of_a_line.map(lambda data: data.rstrip(b'\r'))
texts = st.text(max_size=100).map(lambda text: re.sub('[\r\n]', '', text))


def messages(size: int, data: bytes) -> list[bytes]:
    """Return data, as entered on standard input, in messages for this BUFSIZ."""
    text = {'encoding': 'utf-8', 'errors': 'surrogateescape', 'newline': '\n'}
    stdin = io.TextIOWrapper(io.BytesIO(data), **text)
    with mock.patch.object(common, 'BUFSIZ', size), mock.patch.object(sys, 'stdin', stdin):
        return list(common.entered('> '))


@given(sizes, lines)
def test_the_messages_of_a_line_joined_give_its_bytes_back(size, line):
    for end in b'', b'\n', b'\r\n':
        assert b''.join(messages(size, line + end)) == line


@given(sizes, lines | st.integers(1, 100).map(lambda length: '🐍'.encode() * length))
def test_every_stamped_message_fits_in_bufsiz_with_a_newline(size, line):
    for message in messages(size, line + b'\n'):
        assert len(common.stamped(message) + b'\n') <= size


@given(sizes, lines)
def test_no_message_but_an_empty_line_is_empty(size, line):
    cut = messages(size, line + b'\n')
    assert all(cut) or cut == [line] == [b'']


@given(sizes, texts)
def test_no_message_cuts_a_character(size, text):
    cut = messages(size, text.encode() + b'\n')
    assert ''.join(message.decode() for message in cut) == text


@given(sizes, st.integers(1, 300))
def test_a_line_of_ascii_becomes_as_few_messages_as_fit(size, length):
    assert len(messages(size, b'x' * length)) == -(-length // (size - 27))


@given(st.lists(st.text('aé\0', max_size=200).map(str.encode), max_size=5))
def test_each_line_is_a_message_of_its_own(entered):
    assert messages(1024, b''.join(line + b'\n' for line in entered)) == entered


def test_no_message_is_too_long_for_a_datagram_whatever_bufsiz_is():
    first, second = messages(100_000, b'x' * 70_000)
    assert len(common.stamped(first) + b'\n') == 65507
    assert first + second == b'x' * 70_000


@given(st.binary())
def test_the_stamp_precedes_the_data_untouched(data):
    reply = common.stamped(data)
    assert re.fullmatch(STAMP, reply[:26])
    assert reply[26:] == data


@given(st.lists(st.integers(0, 2**32), min_size=2))
def test_the_stamp_is_what_ctime_gives_whichever_came_before(seconds):
    for second in seconds:
        with mock.patch.object(common, 'time', return_value=second + 0.999):
            assert common.stamped(b'') == f'[{common.ctime(second)}]'.encode()
