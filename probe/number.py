"""Numbers as JSON writes them (RFC 8259 section 6), compared exactly: floats are not exact, from 2**53 and 1e309 on."""

from __future__ import annotations


def is_json_number(text: bytes) -> bool:
    """Tell whether text is a number as JSON writes them."""
    whole, e, exponent = text.lower().partition(b"e")
    integer, dot, fraction = _unsigned(whole).partition(b".")
    if e and not exponent[1 if exponent[:1] in {b"+", b"-"} else 0 :].isdigit():
        return False
    if dot and not fraction.isdigit():
        return False
    return integer.isdigit() and (integer == b"0" or not integer.startswith(b"0"))


def compare_numbers(one: bytes, other: bytes) -> int:
    """Return -1, 0 or 1: whether the first of two JSON numbers is less than the other, equal or greater."""
    left, right = _number_parts(one), _number_parts(other)
    if left == right:
        return 0
    if left[0] != right[0]:
        return -1 if left[0] < right[0] else 1
    larger = left[1:] > right[1:]
    return left[0] if larger else -left[0]


def _unsigned(number: bytes) -> bytes:
    return number[1:] if number.startswith(b"-") else number


def _number_parts(text: bytes) -> tuple[int, int, bytes]:
    """Return the sign, the power of ten of the first digit, and the digits without zeros around them."""
    whole, _, exponent = text.lower().partition(b"e")
    integer, _, fraction = _unsigned(whole).partition(b".")
    digits = (integer + fraction).lstrip(b"0")
    short = digits.rstrip(b"0")
    if not short:
        return 0, 0, b""
    power = int(exponent.decode() or "0") - len(fraction) + len(digits)
    return -1 if whole.startswith(b"-") else 1, power, short
