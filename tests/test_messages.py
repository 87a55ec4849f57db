"""The pure parts of common.py, by their properties: cutting lines, stamping data."""

import os
import re
import tempfile
from unittest import mock

from helpers import STAMP
from hypothesis import given
from hypothesis import strategies as st

import common

sizes = st.integers(31, 100)  # of BUFSIZ
lines = st.binary(max_size=300).map(lambda data: data.replace(b'\n', b''))
texts = st.text(max_size=100).map(lambda text: text.replace('\n', ''))


def messages(size: int, data: bytes) -> list[bytes]:
    """Return data, as entered on standard input, in messages for this BUFSIZ."""
    with tempfile.TemporaryFile() as file, mock.patch.object(common, 'BUFSIZ', size):
        file.write(data)
        file.seek(0)
        saved = os.dup(0)
        try:
            os.dup2(file.fileno(), 0)
            return list(common.entered('> '))
        finally:
            os.dup2(saved, 0)
            os.close(saved)


@given(sizes, lines)
def test_the_messages_of_a_line_joined_give_its_bytes_back(size, line):
    assert b''.join(messages(size, line + b'\n')) == line


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


@given(st.lists(st.text('aé\r\0', max_size=200).map(str.encode), max_size=5))
def test_each_line_is_a_message_of_its_own(entered):
    assert messages(1024, b''.join(line + b'\n' for line in entered)) == entered


@given(sizes, lines)
def test_a_last_line_without_a_newline_counts(size, line):
    assert b''.join(messages(size, line)) == line


def test_no_message_is_too_long_for_a_datagram_whatever_bufsiz_is():
    first, second = messages(100_000, b'x' * 70_000)
    assert len(common.stamped(first) + b'\n') == 65507
    assert first + second == b'x' * 70_000


@given(st.binary())
def test_the_stamp_precedes_the_data_untouched(data):
    reply = common.stamped(data)
    assert re.fullmatch(STAMP, reply[:26])
    assert reply[26:] == data


@given(st.integers(0, 2**32))
def test_the_stamp_is_what_ctime_gives(second):
    with mock.patch.object(common, 'time', return_value=second + 0.999):
        assert common.stamped(b'') == f'[{common.ctime(second)}]'.encode()


def test_the_stamps_of_seconds_gone_by_are_not_kept():
    for second in range(100):
        with mock.patch.object(common, 'time', return_value=second):
            common.stamped(b'')
    assert common.stamp.cache_info().currsize == 1
