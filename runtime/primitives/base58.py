"""Base 58 as Bitcoin writes it: addresses of accounts and ids of peers are texts in it.

Reading is quadratic in the length of the text, so whoever reads a foreign one bounds it first.
"""

_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58_encode(data: bytes) -> str:
    """The text of some bytes; zeros in front are kept as ones."""
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _DIGITS[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def base58_decode(text: str) -> bytes:
    """Inverse of `base58_encode`. Raises a `ValueError` that names a letter which is no digit."""
    number = 0
    for letter in text:
        digit = _DIGITS.find(letter)
        if digit < 0:
            raise ValueError(f"{text!r} contains {letter!r}, which is not in base 58")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) >> 3, "big")
