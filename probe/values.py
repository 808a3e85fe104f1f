"""From the text of one option to its value; Usage says what is wrong with it."""

from __future__ import annotations

from probe.errors import Usage

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
TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE64_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def is_digits(text: str) -> bool:
    """Tell whether text is a plain number (str.isdigit takes other alphabets, int() even '1_0')."""
    return text.isascii() and text.isdigit() and len(text) < 19


def is_token(text: str) -> bool:
    """Tell whether text is an RFC 9110 token: what a method or a header name may be."""
    return bool(text) and text.isascii() and not text.encode().translate(None, TOKEN_BYTES)


def parse_seconds(text: str) -> float:
    """Read a duration: '3' and '3s' are seconds, '500ms', '1m30s', '1.5h'."""
    rest, total = text.strip(), 0.0
    if not rest:
        rest = "?"
    while rest:
        number = len(rest) - len(rest.lstrip("0123456789."))
        unit = number + len(rest[number:]) - len(rest[number:].lstrip("dhms"))
        amount = rest[:number]
        scale = SECONDS_PER_UNIT.get(rest[number:unit] or ("s" if amount == text.strip() else ""))
        if scale is None or not is_digits(amount.replace(".", "", 1)):
            msg = f"{text!r} is not a duration (write 500ms, 3s, 1m30s)"
            raise Usage(msg)
        total += float(amount) * scale
        rest = rest[unit:]
    if total > LONGEST_SECONDS:
        msg = f"{text!r} is more than a year"
        raise Usage(msg)
    return total


def parse_count(text: str, low: int, high: int) -> int:
    """Read a whole number from low to high."""
    if not is_digits(text) or not low <= int(text) <= high:
        msg = f"{text!r} is not a number from {low} to {high}"
        raise Usage(msg)
    return int(text)


def parse_size(text: str, high: int) -> int:
    """Read a number of bytes: '65536', '64k', '1MiB'."""
    unit = text.lower().lstrip("0123456789")
    amount = text[: len(text) - len(unit)]
    scale = BYTES_PER_UNIT.get(unit.strip())
    if scale is None or not is_digits(amount) or not 1 <= int(amount) * scale <= high:
        msg = f"{text!r} is not a size from 1 to {high} bytes (write 65536, 64k, 1M)"
        raise Usage(msg)
    return int(amount) * scale


def parse_status(text: str) -> list[tuple[int, int]]:
    """Read a list of status codes and ranges: '200', '200-299,401', '2xx'."""
    ranges = []
    for part in text.split(","):
        piece = part.strip()
        first, dash, last = piece.partition("-")
        if len(piece) == 3 and piece[1:].lower() == "xx":
            first, last = piece[0] + "00", piece[0] + "99"
        elif not dash:
            last = first
        first, last = first.strip(), last.strip()
        valid = is_digits(first) and is_digits(last) and 100 <= int(first) <= int(last) <= 999
        if not valid:
            msg = f"{text!r} is not a list of status codes (write 200, 200-299,401 or 2xx)"
            raise Usage(msg)
        ranges.append((int(first), int(last)))
    return ranges


def parse_escapes(text: str) -> bytes:
    r"""Turn \r \n \t \0 \\ and \xNN into the bytes they stand for."""
    head, *pieces = text.split("\\")
    data, skip = encode_text(head), False
    for index, piece in enumerate(pieces):
        if skip:  # the text after a double backslash
            data, skip = data + encode_text(piece), False
        elif piece[:1] in {"r", "n", "t", "0"} and piece:
            data += {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0"}[piece[0]] + encode_text(
                piece[1:]
            )
        elif (
            piece[:1] == "x" and len(piece) >= 3 and not piece[1:3].strip("0123456789abcdefABCDEF")
        ):
            data += int(piece[1:3], 16).to_bytes(1, "big") + encode_text(piece[3:])
        elif not piece and index + 1 < len(pieces):
            data, skip = data + b"\\", True
        else:
            msg = r"knows the escapes \r \n \t \0 \\ and \xNN only (a backslash is written \\)"
            raise Usage(msg)
    return data


def encode_text(text: str) -> bytes:
    """Give back the very bytes that the command line or the environment held."""
    return text.encode("utf-8", "surrogateescape")


def decode_text(data: bytes) -> str:
    """Read bytes as UTF-8, whatever they are; encode_text is the inverse."""
    return data.decode("utf-8", "surrogateescape")


def base64_text(data: bytes) -> str:
    """Encode in base64 (RFC 4648); the binascii module is not part of the frozen probe."""
    text = ""
    for start in range(0, len(data), 3):
        piece = data[start : start + 3]
        bits = int.from_bytes(piece + bytes(3 - len(piece)), "big")
        for shift in (18, 12, 6, 0)[: len(piece) + 1]:
            text += BASE64_ALPHABET[bits >> shift & 63]
    return text + "=" * (-len(text) % 4)
