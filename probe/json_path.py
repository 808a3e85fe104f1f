"""Looks one value up in a JSON text (RFC 8259): all of it is checked, but no tree is built."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.scheduler import Trace
from probe.values import encode_text

DEEPEST = 100
LONGEST_NUMBER = 400  # a longer one is equal only when it is written the same
JSON_SPACE = b" \t\n\r"
JSON_ESCAPES = {34: '"', 92: "\\", 47: "/", 98: "\b", 102: "\f", 110: "\n", 114: "\r", 116: "\t"}
JSON_WORDS = (b"true", b"false", b"null")
LOW_CONTROLS = bytes(range(32))


class JsonScanner:
    """One pass over a JSON text that remembers the (last) value at `path`."""

    def __init__(self, data: bytes, path: list[str], trace: Trace) -> None:
        self.data = data
        self.place = 0
        self.path = path
        self.trace = trace
        self.found: bytes | None = None
        self.kind = ""

    def scan(self) -> None:
        """Read the whole text; raises Unhealthy where it is not JSON."""
        if self.data.startswith(b"\xef\xbb\xbf"):
            self.fail("it begins with a byte order mark")
        self._value(0, 0)
        self._skip_space()
        if self.place < len(self.data):
            self.fail("more text after the end")

    def fail(self, what: str) -> None:
        """Raise: not JSON, for this reason, at this place."""
        msg = f"the body is not JSON: {what} at byte {self.place}"
        raise Unhealthy(msg)

    def _skip_space(self) -> int:
        """Go to the next token; return its first byte (-1: the end)."""
        data, place = self.data, self.place
        while place < len(data) and data[place] in JSON_SPACE:
            place += 1
        self.place = place
        return data[place] if place < len(data) else -1

    def _value(self, depth: int, matched: int) -> None:
        """Read a value; `matched` parts of the path led here (-1: it is off the path)."""
        if depth > DEEPEST:
            self.fail(f"nested more than {DEEPEST} deep")
        first, start = self._skip_space(), self.place
        wanted = matched == len(self.path)
        if first == 0x7B:
            kind = "object"
            self._members(depth, matched, wanted, 0x7D)
        elif first == 0x5B:
            kind = "array"
            self._members(depth, matched, wanted, 0x5D)
        elif first == 0x22:
            kind = "string"
            self._string()
        else:
            kind = self._word_or_number()
        if wanted:
            self.found, self.kind = self.data[start : self.place], kind
        elif matched >= 0 and depth == matched and kind not in {"object", "array"}:
            self.found = None

    def _members(self, depth: int, matched: int, wanted: bool, closing: int) -> None:
        """Read the members of an object or the items of an array."""
        self.trace.check()
        self.place += 1
        part = self.path[matched] if matched >= 0 and not wanted else None
        index = 0
        if part is not None:
            self.found = None
        if self._skip_space() == closing:
            self.place += 1
            return
        while True:
            if closing == 0x7D:
                if self._skip_space() != 0x22:
                    self.fail("no key")
                start = self.place
                self._string()
                on_path = part is not None and json_string(self.data[start : self.place]) == part
                if self._skip_space() != 0x3A:
                    self.fail("no colon")
                self.place += 1
            else:
                on_path = part is not None and str(index) == part
            self._value(depth + 1, matched + 1 if on_path else -1)
            index += 1
            if not index % 1024:
                self.trace.check()
            following = self._skip_space()
            if following == closing:
                self.place += 1
                return
            if following != 0x2C:
                self.fail("no comma")
            self.place += 1

    def _string(self) -> None:
        """Go behind a string; `place` is at its opening quote. No byte is looked at twice: it may be long."""
        data, start = self.data, self.place + 1
        end = start
        quote, escapes = data.find(b'"', end), 0
        while quote >= 0 and (backslash := data.find(b"\\", end, quote)) >= 0:
            escape = data[backslash + 1] if backslash + 1 < len(data) else 0
            digits = data[backslash + 2 : backslash + 6]
            if (
                escape == 0x75
                and len(digits) == 4
                and not digits.translate(None, b"0123456789abcdefABCDEF")
            ):
                end = backslash + 6
            elif escape in JSON_ESCAPES:
                end = backslash + 2
            else:
                self.fail("a wrong escape in a string")
            if end > quote:
                quote = data.find(b'"', end)
            escapes += 1
            if not escapes % 1024:
                self.trace.check()
        if quote < 0:
            self.fail("a string without an end")
        text = data[start:quote]
        if text.translate(None, LOW_CONTROLS) != text:
            self.fail("a control character in a string")
        if (
            not text.isascii()
            and text.decode("utf-8", "replace").encode("utf-8", "replace") != text
        ):
            self.fail("a string that is not UTF-8")
        self.place = quote + 1

    def _word_or_number(self) -> str:
        data, start = self.data, self.place
        end = start
        while end < len(data) and data[end] not in b' \t\n\r,]}:[{"':
            end += 1
        text = data[start:end]
        if text not in JSON_WORDS and not is_json_number(text):
            self.fail("no value")
        self.place = end
        return "word" if text in JSON_WORDS else "number"


def is_json_number(text: bytes) -> bool:
    """Tell whether text is a number as JSON writes them."""
    whole, e, exponent = text.lower().partition(b"e")
    integer, dot, fraction = whole.removeprefix(b"-").partition(b".")
    if e and not exponent[exponent[:1] in {b"+", b"-"} :].isdigit():
        return False
    if dot and not fraction.isdigit():
        return False
    return integer.isdigit() and (integer == b"0" or not integer.startswith(b"0"))


def same_number(one: bytes, other: bytes) -> bool:
    """Tell whether two JSON numbers are equal, exactly: floats are not, from 2**53 and 1e309 on."""
    return _number_parts(one) == _number_parts(other)


def _number_parts(text: bytes) -> tuple[bool, bytes, int]:
    """Return sign, digits without zeros around them, and the power of ten of the last digit."""
    whole, _, exponent = text.lower().partition(b"e")
    integer, _, fraction = whole.removeprefix(b"-").partition(b".")
    digits = (integer + fraction).lstrip(b"0")
    short = digits.rstrip(b"0")
    if not short:
        return False, b"", 0
    power = int(exponent or b"0") - len(fraction) + len(digits) - len(short)
    return whole.startswith(b"-"), short, power


def json_string(token: bytes) -> str:
    """Return the text of a string that has been checked, quotes and all."""
    text = token[1:-1].decode("utf-8", "replace")
    if "\\" not in text:
        return text
    head, *pieces = text.split("\\")
    units, skip = [head], False
    for piece in pieces:
        if skip:
            units.append(piece)
            skip = False
        elif not piece:
            units.append("\\")
            skip = True
        elif piece[0] == "u":
            units.append(chr(int(piece[1:5], 16)) + piece[5:])
        else:
            units.append(JSON_ESCAPES[ord(piece[0])] + piece[1:])
    return _join_surrogates("".join(units))


def _join_surrogates(text: str) -> str:
    """Make one character of each pair of \\uD8xx\\uDCxx."""
    if text.isascii():
        return text
    joined: list[str] = []
    for character in text:
        # Compared as numbers: a lone surrogate in the source could not be frozen.
        high, low = ord(joined[-1]) - 0xD800 if joined else -1, ord(character) - 0xDC00
        if 0 <= high < 0x400 and 0 <= low < 0x400:
            joined[-1] = chr(0x10000 + (high << 10) + low)
        else:
            joined.append(character)
    return "".join(joined)


def split_path(text: str) -> list[str]:
    r"""Split 'db.0.up' at its dots; a dot that belongs to a key is written '\.'."""
    return [part.replace("\0", ".") for part in text.replace("\\.", "\0").split(".")]


def json_mismatch(body: bytes, expectation: str, trace: Trace) -> str:
    """Return why PATH=VALUE does not hold for this JSON text, or nothing when it does."""
    path, _, value = expectation.partition("=")
    scanner = JsonScanner(body, split_path(path), trace)
    scanner.scan()
    if scanner.found is None:
        return f"json {path} is not there"
    text = scanner.found.decode("utf-8", "replace")
    if scanner.kind == "string":
        seen = json_string(scanner.found)
        if value in (seen, text):
            return ""
    elif text == value or (
        scanner.kind == "number"
        and len(text) <= LONGEST_NUMBER
        and len(value) <= LONGEST_NUMBER
        and is_json_number(encode_text(value))
        and same_number(scanner.found, encode_text(value))
    ):
        return ""
    return f"json {path} is {text[:100]}, not {value}"
