"""Base 58 against the examples of its draft standard, and as an inverse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.base58 import base58_decode, base58_encode


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"Hello World!", "2NEpo7TZRRrLZSi2U"),
        (bytes.fromhex("0000287fb4cd"), "11233QC4"),
    ],
)
def test_the_examples_of_the_draft_standard_are_met(data: bytes, text: str) -> None:
    # draft-msporny-base58-03, section 5.
    assert base58_encode(data) == text
    assert base58_decode(text) == data


@given(st.binary(max_size=40))
def test_bytes_survive_the_way_through_text(data: bytes) -> None:
    assert base58_decode(base58_encode(data)) == data


@pytest.mark.parametrize("letter", "0OIl")
def test_a_letter_that_is_no_digit_is_named(letter: str) -> None:
    with pytest.raises(ValueError, match=f"contains '{letter}', which is not in base 58"):
        base58_decode(f"2NE{letter}")
