"""Looks one value up in a JSON text (RFC 8259): all of it is checked, but no tree is built."""

from __future__ import annotations

from probe.condition import COMPARISONS, LONGEST_NUMBER, Condition, parse_condition
from probe.errors import Unhealthy
from probe.kinds import Callable
from probe.number import compare_numbers, is_json_number
from probe.scheduler import Trace
from probe.system import is_utf8
from probe.values import HEX_DIGITS, visible_text

DEEPEST = 100
JSON_SPACE = b" \t\n\r"
JSON_ESCAPES = {
    0x22: b'"',
    0x5C: b"\\",
    0x2F: b"/",
    0x62: b"\b",
    0x66: b"\f",
    0x6E: b"\n",
    0x72: b"\r",
    0x74: b"\t",
}
JSON_WORDS = (b"true", b"false", b"null")
LONGEST_PIECE = 4096
PIECE_SIZE = 64  # of what may go on and on, between two looks at the clock


class JsonScanner:
    """One pass over a JSON text that remembers the (last) value at `path`.

    The part of the path with the number `star` is every member: `judge` is asked what is wrong about each.
    """

    def __init__(
        self,
        data: bytes | bytearray,
        path: list[bytes],
        trace: Trace,
        star: int = -1,
        judge: Callable[[JsonScanner], str] | None = None,
    ) -> None:
        self.data = data
        self.place = 0
        self.path = path
        self.trace = trace
        self.found = False
        self.start = self.end = (
            0  # of what was found: a copy of it may be as long as the whole text
        )
        self.kind = ""
        self.size = 0  # the number of its members
        self.star = star
        self.judge = judge
        self.members = self.holding = (
            0  # of what the star stands for, and those that `judge` has nothing against
        )
        self.failure = ""

    def scan(self) -> None:
        """Read the whole text; raises Unhealthy where it is not JSON."""
        if self.data[:3] == b"\xef\xbb\xbf":
            self.fail("it begins with a byte order mark")
        self._value(0, 0)
        self._skip_space()
        if self.place < len(self.data):
            self.fail("more text after the end")

    def means(self, value: bytes) -> bool:
        """Tell whether what was found is this value: as it is written, as a text, or as a number."""
        size = self.end - self.start
        if self.kind == "string" and self._is_text(self.start, self.end, value):
            return True
        if size == len(value) and self._piece(self.start, self.end) == value:
            return True
        return (
            self.kind == "number"
            and size <= LONGEST_NUMBER
            and len(value) <= LONGEST_NUMBER
            and is_json_number(value)
            and not compare_numbers(self._piece(self.start, self.end), value)
        )

    def _piece(self, start: int, end: int) -> bytes:
        return bytes(self.data[start:end])

    def fail(self, what: str) -> None:
        """Raise: not JSON, for this reason, at this place."""
        msg = f"the body is not JSON: {what} at byte {self.place}"
        raise Unhealthy(msg)

    def _skip_space(self) -> int:
        """Go to the next token; return its first byte (-1: the end)."""
        data = self.data
        if self.place < len(data) and data[self.place] in JSON_SPACE:
            self._skip(JSON_SPACE)
        return data[self.place] if self.place < len(data) else -1

    def _skip(self, members: bytes) -> None:
        """Go to the first byte that is not among these."""
        while True:
            piece = self._piece(self.place, self.place + PIECE_SIZE)
            rest = piece.lstrip(members)
            self.place += len(piece) - len(rest)
            if rest or not piece:
                return
            self.trace.check()

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
            self.found, self.kind = True, kind
            self.start, self.end = start, self.place
        elif matched >= 0 and kind not in {"object", "array"}:
            self._forget(matched)

    def _members(self, depth: int, matched: int, wanted: bool, closing: int) -> None:
        """Read the members of an object or the items of an array."""
        self.trace.check()
        self.place += 1
        part = self.path[matched] if matched >= 0 and not wanted else None
        index = 0
        starred = part is not None and matched == self.star
        if part is not None:
            self._forget(matched)
        self.size = 0 if wanted else self.size
        if self._skip_space() == closing:
            self.place += 1
            return
        while True:
            if closing == 0x7D:
                if self._skip_space() != 0x22:
                    self.fail("no key")
                start = self.place
                self._string()
                on_path = part is not None and (starred or self._is_text(start, self.place, part))
                if self._skip_space() != 0x3A:
                    self.fail("no colon")
                self.place += 1
            else:
                on_path = part is not None and (starred or str(index).encode() == part)
            if starred:
                self.found = False
            self._value(depth + 1, matched + 1 if on_path else -1)
            index += 1
            if wanted:
                self.size = index
            if starred:
                self._judge_member()
            if not index % 1024:
                self.trace.check()
            following = self._skip_space()
            if following == closing:
                self.place += 1
                return
            if following != 0x2C:
                self.fail("no comma")
            self.place += 1

    def _forget(self, matched: int) -> None:
        """The last of equal keys counts: what was found below the ones before it does not."""
        self.found = False
        if matched <= self.star:
            self.members = self.holding = 0
            self.failure = ""

    def _judge_member(self) -> None:
        self.trace.check()
        self.members += 1
        problem = self.judge(self) if self.judge else ""
        self.holding += not problem
        self.failure = self.failure or problem

    def _string(self) -> None:
        """Go behind a string; `place` is at its opening quote. No byte is looked at twice: it may be long."""
        data, start = self.data, self.place + 1
        end = start
        quote, escapes = data.find(b'"', end), 0
        while quote >= 0:
            backslash = data.find(b"\\", end, quote)
            if backslash < 0:
                break
            escape = data[backslash + 1] if backslash + 1 < len(data) else 0
            digits = self._piece(backslash + 2, backslash + 6)
            if escape == 0x75 and len(digits) == 4 and not digits.strip(HEX_DIGITS):
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
        self._check_text(start, quote)
        self.place = quote + 1

    def _is_text(self, start: int, end: int, text: bytes) -> bool:
        """Tell whether a string means this text. No byte of it is written in more than six: `\\u0041`."""
        return end - start <= 6 * len(text) + 2 and json_string(self._piece(start, end)) == text

    def _check_text(self, start: int, end: int) -> None:
        """Refuse what no string holds, in pieces: as a whole it would be copied, and nobody would look at the clock."""
        while start < end:
            stop = min(end, start + LONGEST_PIECE)
            while stop < end and stop > start + 4 and self.data[stop] & 0xC0 == 0x80:
                stop -= 1  # not amid a character
            text = self._piece(start, stop)
            if min(text) < 0x20:
                self.fail("a control character in a string")
            if not is_utf8(text):
                self.fail("a string that is not UTF-8")
            if stop < end:
                self.trace.check()
            start = stop

    def _word_or_number(self) -> str:
        start = self.place
        for word in JSON_WORDS:
            if self._piece(start, start + len(word)) == word:
                self.place = start + len(word)
                return "word"
        if not self._number():
            self.place = start
            self.fail("no value")
        return "number"

    def _number(self) -> bool:
        """Go behind a number, which may be long; tell whether it is one."""
        self._step(b"-")
        if not self._step(b"0") and not self._digits():
            return False
        if self._step(b".") and not self._digits():
            return False
        if self._step(b"eE"):
            self._step(b"+-")
            return self._digits()
        return True

    def _step(self, members: bytes) -> bool:
        found = self.place < len(self.data) and self.data[self.place] in members
        self.place += found
        return found

    def _digits(self) -> bool:
        start = self.place
        self._skip(b"0123456789")
        return self.place > start


def json_string(token: bytes) -> bytes:
    """Return the text, in UTF-8, of a string that has been checked, quotes and all.

    Half a surrogate pair becomes three bytes that are no UTF-8, so that it equals nothing that can be asked for.
    """
    plain, *pieces = token[1:-1].split(b"\\")
    units, skip, high = [plain], False, 0
    for piece in pieces:
        if skip:
            units.append(piece)
            skip = False
            continue
        code = int(piece[1:5].decode(), 16) if piece[:1] == b"u" else 0
        if high and 0xDC00 <= code < 0xE000:
            units[-1] = chr(0x10000 + (high - 0xD800 << 10) + code - 0xDC00).encode() + piece[5:]
        elif piece[:1] == b"u":
            units.append(_code_unit(code) + piece[5:])
        elif piece:
            units.append(JSON_ESCAPES[piece[0]] + piece[1:])
        else:
            units.append(b"\\")
            skip = True
        high = code if 0xD800 <= code < 0xDC00 and len(piece) == 5 else 0
    return b"".join(units)


def _code_unit(code: int) -> bytes:
    """Return a code unit of UTF-16 in the form of UTF-8."""
    if code < 0x80:
        return bytes([code])
    if code < 0x800:
        return bytes([0xC0 | code >> 6, 0x80 | code & 63])
    return bytes([0xE0 | code >> 12, 0x80 | code >> 6 & 63, 0x80 | code & 63])


def json_mismatch(body: bytes | bytearray, expectation: bytes, trace: Trace) -> str:
    """Return why a condition does not hold for a JSON text, or nothing when it does; raises Unhealthy for no JSON."""
    condition = parse_condition(expectation)
    scanner = JsonScanner(
        body, condition.path, trace, condition.star, lambda found: _problem(found, condition)
    )
    scanner.scan()
    shown = f"json {visible_text(condition.shown)}"
    if condition.star < 0:
        problem = _problem(scanner, condition)
        return f"{shown} {problem}" if problem else ""
    if not scanner.members:
        return f"{shown} is not there"
    needed = 1 if condition.quantifier == "any" else scanner.members
    if scanner.holding >= needed:
        return ""
    return f"{shown} holds for {scanner.holding} of {scanner.members}: one {scanner.failure}"


def _problem(scanner: JsonScanner, condition: Condition) -> str:
    """Return why a condition does not hold for the value that was found, or nothing."""
    if not scanner.found:
        return "is not there"
    operator = condition.operator
    if operator == "exists":
        return ""
    size, kind = scanner.end - scanner.start, scanner.kind
    seen = visible_text(bytes(scanner.data[scanner.start : scanner.start + min(size, 100)]))
    compound = kind in {"object", "array"}
    number = bytes(scanner.data[scanner.start : scanner.end]) if size <= LONGEST_NUMBER else b""
    if condition.quantifier == "length":
        if not compound:
            return f"is {seen}, which has no length"
        seen, number, kind = f"{scanner.size}", f"{scanner.size}".encode(), "number"
    if kind == "number" and not number and operator not in {"=", "in"}:
        return f"is a number of {size} characters, too long to be compared"
    if condition.quantifier == "length" or operator in COMPARISONS:
        if kind != "number":
            return f"is {seen}, which is no number"
        holds = _number_holds(number, operator, condition.values)
    elif operator == "!=":
        if compound:
            return f"is {seen}, which only its length can be compared of"
        holds = not scanner.means(condition.values[0])
    else:
        holds = any(scanner.means(value) for value in condition.values)
    return "" if holds else f"is {seen}, not {visible_text(condition.wanted)}"


def _number_holds(number: bytes, operator: str, values: list[bytes]) -> bool:
    orders = [compare_numbers(number, value) for value in values]
    if operator in {"=", "in"}:
        return 0 in orders
    order = orders[0]
    if operator == "!=":
        return order != 0
    return (
        (order < 0 and operator.startswith("<"))
        or (order > 0 and operator.startswith(">"))
        or (order == 0 and operator.endswith("="))
    )
