"""From the bytes of one option to its value; Usage says what is wrong with it.

Written for two interpreters: of the methods of text, only those are used that mean the same in both. MicroPython's know
ASCII alone.
"""

from __future__ import annotations

from probe.errors import Usage
from probe.system import is_utf8

DIGITS = "0123456789"
HEX_DIGITS = b"0123456789abcdefABCDEF"
SPACES = " \t"
SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_SECONDS = 366 * 86400.0
BYTES_PER_UNIT = {
    "": 1,
    "b": 1,
    "k": 1024,
    "kb": 1024,
    "kib": 1024,
    "m": 1 << 20,
    "mb": 1 << 20,
    "mib": 1 << 20,
}
# Frequent ones first: a byte that is looked for among these is compared with one after the other.
TOKEN_BYTES = b"etaoinshrdlucmfwypvbgkqjxz-ETAOINSHRDLUCMFWYPVBGKQJXZ0123456789!#$%&'*+.^_`|~"
BASE64_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def is_ascii(text: str) -> bool:
    """Tell whether a text is ASCII alone."""
    return len(text.encode()) == len(text)


def is_digits(text: str) -> bool:
    """Tell whether text is a plain number (str.isdigit takes other alphabets, int() even '1_0')."""
    return 0 < len(text) < 19 and not text.strip(DIGITS)


def is_token(data: bytes) -> bool:
    """Tell whether these bytes are an RFC 9110 token: what a method or a header name may be."""
    return bool(data) and not data.strip(TOKEN_BYTES)


def has_controls(data: bytes) -> bool:
    """Tell whether there are ASCII control characters; a tab counts for none."""
    return bool(data) and (min(data.replace(b"\t", b" ")) < 0x20 or b"\x7f" in data)


def decode_text(data: bytes) -> str:
    """Read bytes that must be UTF-8; raises Usage."""
    if not is_utf8(data):
        msg = "this is not UTF-8"
        raise Usage(msg)
    return data.decode()


def visible_text(data: bytes) -> str:
    r"""Return bytes as text for messages; what is no UTF-8 is written as \xNN."""
    if is_utf8(data):
        return data.decode()
    pieces, place = [], 0
    while place < len(data):
        first = data[place]
        size = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        sequence = data[place : place + size]
        if first < 0x80 or is_utf8(sequence):
            pieces.append(sequence.decode())
            place += size
        else:
            pieces.append(f"\\x{first:02x}")
            place += 1
    return "".join(pieces)


def quoted(data: bytes, limit: int = 200) -> str:
    """Return bytes as text in quotes, for messages: no password of a URL, and no more characters than `limit`."""
    most = (
        4 * limit
    )  # bytes that so many characters may have; behind them, only the end of a password counts
    text = visible_text(data[:most]) + ("@" if b"@" in data[most:] else "")
    text = without_password(text) if b":" in data else text
    return f"'{text[:limit]}'"


def shown_text(text: str) -> str:
    """Return what is not understood in quotes, for messages. It may be a URL with a password, or a part of one."""
    return f"'{without_password(text)}'"


def without_password(text: str) -> str:
    """Return a text with *** for what stands between ':' and '@', or before '@'."""
    head, at, tail = text.rpartition("@")
    scheme, mark, rest = head.partition("://")
    if not mark:
        scheme, rest = "", head
    if not rest:
        return text
    user, colon, _ = rest.partition(":")
    return f"{scheme}{mark}{user + colon if colon else ''}***{at}{tail}"


def secrets_in(value: bytes) -> list[str]:
    """Return what stands between ':' and '@', also as it looks when only its end is shown."""
    head, _, _ = value.rpartition(b"@")
    password = visible_text((head.partition(b"://")[2] or head).partition(b":")[2])
    return [password, password + "@"] if password else []


def parse_seconds(text: str) -> float:
    """Read a duration: '3' and '3s' are seconds, '500ms', '1m30s', '1.5h'."""
    whole = text.strip(SPACES)
    rest, total = whole or "?", 0.0
    while rest:
        number = len(rest) - len(rest.lstrip("0123456789."))
        unit = number + len(rest[number:]) - len(rest[number:].lstrip("dhms"))
        amount = rest[:number]
        scale = SECONDS_PER_UNIT.get(rest[number:unit] or ("s" if amount == whole else ""))
        if scale is None or not is_digits(amount.replace(".", "", 1)):
            msg = f"{shown_text(text)} is not a duration (write 500ms, 3s, 1m30s)"
            raise Usage(msg)
        total += float(amount) * scale
        rest = rest[unit:]
    if total > LONGEST_SECONDS:
        msg = f"{shown_text(text)} is more than a year"
        raise Usage(msg)
    return total


def parse_count(text: str, low: int, high: int) -> int:
    """Read a whole number from low to high."""
    if not is_digits(text) or not low <= int(text) <= high:
        msg = f"{shown_text(text)} is not a number from {low} to {high}"
        raise Usage(msg)
    return int(text)


def parse_size(text: str, high: int) -> int:
    """Read a number of bytes: '65536', '64k', '1MiB'."""
    unit = text.lstrip(DIGITS)
    amount = text[: len(text) - len(unit)]
    scale = BYTES_PER_UNIT.get(lowered(unit).strip(SPACES))
    if scale is None or not is_digits(amount) or not 1 <= int(amount) * scale <= high:
        msg = f"{shown_text(text)} is not a size from 1 to {high} bytes (write 65536, 64k, 1M)"
        raise Usage(msg)
    return int(amount) * scale


def parse_status(text: str) -> list[tuple[int, int]]:
    """Read a list of status codes and ranges: '200', '200-299,401', '2xx'."""
    ranges = []
    for part in text.split(","):
        piece = part.strip(SPACES)
        first, dash, last = piece.partition("-")
        if len(piece) == 3 and lowered(piece[1:]) == "xx":
            first, last = piece[0] + "00", piece[0] + "99"
        elif not dash:
            last = first
        first, last = first.strip(SPACES), last.strip(SPACES)
        valid = is_digits(first) and is_digits(last) and 100 <= int(first) <= int(last) <= 999
        if not valid:
            msg = (
                f"{shown_text(text)} is not a list of status codes (write 200, 200-299,401 or 2xx)"
            )
            raise Usage(msg)
        ranges.append((int(first), int(last)))
    return ranges


def parse_escapes(data: bytes) -> bytes:
    r"""Turn \r \n \t \0 \\ and \xNN into the bytes they stand for."""
    plain, *pieces = data.split(b"\\")
    skip = False
    for index, piece in enumerate(pieces):
        if skip:  # what stands behind a double backslash
            plain, skip = plain + piece, False
        elif piece[:1] in {b"r", b"n", b"t", b"0"}:
            plain += {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0"}[piece[:1]] + piece[1:]
        elif piece[:1] == b"x" and len(piece) >= 3 and not piece[1:3].strip(HEX_DIGITS):
            plain += bytes([int(piece[1:3].decode(), 16)]) + piece[3:]
        elif not piece and index + 1 < len(pieces):
            plain, skip = plain + b"\\", True
        else:
            msg = r"knows the escapes \r \n \t \0 \\ and \xNN only (a backslash is written \\)"
            raise Usage(msg)
    return plain


def lowered(text: str) -> str:
    """Return a text with its ASCII letters in lower case: str.lower knows other alphabets, or does not."""
    return text.encode().lower().decode()


def base64_text(data: bytes) -> str:
    """Encode in base64 (RFC 4648); the binascii module is not part of the frozen probe."""
    text = ""
    for start in range(0, len(data), 3):
        piece = data[start : start + 3]
        bits = int.from_bytes(piece + bytes(3 - len(piece)), "big")
        for shift in (18, 12, 6, 0)[: len(piece) + 1]:
            text += BASE64_ALPHABET[bits >> shift & 63]
    return text + "=" * (-len(text) % 4)


def base64_bytes(data: bytes) -> bytes:
    """Decode base64 with its padding; nothing when it is none."""
    body = data.rstrip(b"=")
    if len(data) % 4 or len(data) - len(body) > 2 or body.strip(BASE64_ALPHABET.encode()):
        return b""
    pieces = []
    for start in range(0, len(body), 4):
        bits, piece = 0, body[start : start + 4]
        for byte in piece:
            bits = bits << 6 | BASE64_ALPHABET.find(chr(byte))
        whole = (bits << 6 * (4 - len(piece))).to_bytes(3, "big")
        pieces.append(whole[: len(piece) - 1])
    return b"".join(pieces)


def hexadecimal(data: bytes) -> bytes:
    """Write bytes as lower-case hexadecimal digits: bytes.hex is not part of the frozen probe."""
    return "".join([f"{byte:02x}" for byte in data]).encode()
