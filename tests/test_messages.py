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
def test_a_line_becomes_messages_that_fit_stamped_and_joined_are_the_line(size, line):
    for end in b'', b'\n', b'\r\n':
        cut = messages(size, line + end)
        assert b''.join(cut) == line
        assert all(len(common.stamped(message) + b'\n') <= size for message in cut)
        assert all(cut) or cut == [line] == [b'']


@given(sizes, texts | widest)
def test_no_message_cuts_a_character(size, text):
    cut = messages(size, text.encode() + b'\n')
    assert ''.join(message.decode() for message in cut) == text


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
