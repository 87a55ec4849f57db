"""The pure parts of common.py, by their properties: cutting lines, stamping data."""

import itertools
import re
from unittest import mock

from helpers import STAMP, in_parts
from hypothesis import given
from hypothesis import strategies as st

import common

sizes = st.integers(4, 30)


def cut(size: int, *parts: bytes) -> list[bytes]:
    """Cut lines that come in parts into messages of at most size bytes."""
    with mock.patch.object(common, 'MSGSIZ', size):
        return list(common.messages(parts))


lines = st.binary(max_size=200).map(lambda data: data.replace(b'\n', b''))


@given(sizes, lines)
def test_the_messages_of_a_line_joined_give_its_bytes_back(size, line):
    assert b''.join(cut(size, line + b'\n')) == line


@given(sizes, lines, sizes)
def test_it_makes_no_difference_in_which_parts_a_line_comes(size, line, part_size):
    whole = cut(size, line + b'\n', b'next\n')
    assert cut(size, *in_parts(line + b'\n', part_size), b'next\n') == whole


@given(sizes, lines)
def test_every_message_fits_and_none_but_an_empty_line_is_empty(size, line):
    *messages, end = cut(size, line + b'\n')
    assert all(len(message) <= size for message in messages)
    assert all(messages) or messages == [b''] == [line]
    assert end == b''


@given(sizes, st.text(max_size=100).map(lambda text: text.replace('\n', '')))
def test_no_message_cuts_a_character(size, text):
    messages = cut(size, text.encode() + b'\n')
    assert ''.join(message.decode() for message in messages) == text


@given(sizes, st.text(max_size=100).map(lambda text: text.replace('\n', '')))
def test_no_message_is_shorter_than_it_has_to_be(size, text):
    *messages, _ = cut(size, text.encode() + b'\n')
    for message, following in itertools.pairwise(messages):
        assert len(message + following.decode()[0].encode()) > size


@given(sizes, lines)
def test_a_last_line_without_a_newline_counts(size, line):
    assert b''.join(cut(size, line)) == line


def test_a_message_leaves_room_in_bufsiz_for_the_stamp_and_a_newline():
    assert len(common.stamped(b'x' * common.MSGSIZ) + b'\n') == common.BUFSIZ == 1024


@given(st.binary())
def test_the_stamp_precedes_the_data_untouched(data):
    reply = common.stamped(data)
    assert re.fullmatch(STAMP, reply[:26])
    assert reply[26:] == data


@given(st.integers(0, 2**32))
def test_the_stamp_is_what_ctime_gives(second):
    now = second * 10**9 + 999_999_999
    with mock.patch.object(common, 'time_ns', return_value=now):
        assert common.stamped(b'') == f'[{common.ctime(second)}]'.encode()
