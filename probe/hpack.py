"""HPACK (RFC 7541): header blocks are written in the plainest form, and read in every form."""

from __future__ import annotations

from probe.errors import Unhealthy
from probe.scheduler import Trace

# Appendix A, as name or name=value.
STATIC_FIELDS = (
    b":authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|"
    b":scheme=https|:status=200|:status=204|:status=206|:status=304|:status=400|"
    b":status=404|:status=500|accept-charset|accept-encoding=gzip, deflate|"
    b"accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|"
    b"authorization|cache-control|content-disposition|content-encoding|content-language|"
    b"content-length|content-location|content-range|content-type|cookie|date|etag|expect|"
    b"expires|from|host|if-match|if-modified-since|if-none-match|if-range|"
    b"if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|"
    b"proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|"
    b"strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)
# Appendix B. The code is canonical, so its lengths say it all: 'a' is 5 bits; EOS is last.
HUFFMAN_LENGTHS = (
    "isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibcccccccccccccccccccc"
    "ccdcdioijbkabababbbaccbbbabcbaabccccckgjixprpprrrsrssssststtrstssssqrsrsstrqprrssqsrrt"
    "qrssqqrqsrssprrrsrrsvvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwvz"
)
END_OF_STRING = 256
PADDINGS = (1, 3, 7, 15, 31, 63, 127, 255)  # less than a byte, all ones, behind the 1 of every code
TABLE_SIZE = 4096  # SETTINGS_HEADER_TABLE_SIZE, which we leave at its default
FIELD_OVERHEAD = 32  # section 4.1
MOST_HEADER_BYTES = 65536


def encode_fields(fields: list[tuple[bytes, bytes]]) -> bytes:
    """Write fields as literals without indexing and without Huffman coding."""
    block = b""
    for name, value in fields:
        block += b"\0" + _encode_length(len(name)) + name + _encode_length(len(value)) + value
    return block


def _encode_length(size: int) -> bytes:
    if size < 127:
        return bytes([size])
    rest, data = size - 127, b"\x7f"
    while rest >= 128:
        data += bytes([rest & 127 | 128])
        rest >>= 7
    return data + bytes([rest])


class HeaderDecoder:
    """The reader's state: the dynamic table, which lives as long as the connection."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.static: list[tuple[bytes, bytes]] = []
        for row in STATIC_FIELDS.split(b"|"):
            name, _, value = row.partition(b"=")
            self.static.append((name, value))
        self.dynamic: list[tuple[bytes, bytes]] = []
        self.limit = TABLE_SIZE
        self.huffman: dict[int, int] = {}
        self.data = b""
        self.place = 0

    def read_block(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """Read one complete header block."""
        self.data, self.place = block, 0
        fields: list[tuple[bytes, bytes]] = []
        total = updates = 0
        while self.place < len(block):
            self.trace.check()
            first = block[self.place]
            if first & 0x80:
                fields.append(self._indexed(self._integer(7)))
            elif first & 0xC0 == 0x40:
                field = self._literal(6)
                fields.append(field)
                self.dynamic.insert(0, field)
                self._evict()
            elif first & 0xE0 == 0x20:
                if fields or updates == 2:  # section 4.2
                    _bad_block("a change of the table's size out of place")
                updates += 1
                self.limit = self._integer(5)
                if self.limit > TABLE_SIZE:
                    _bad_block("a table larger than allowed")
                self._evict()
                continue
            else:
                fields.append(self._literal(4))
            total += len(fields[-1][0]) + len(fields[-1][1]) + FIELD_OVERHEAD
            if total > MOST_HEADER_BYTES:  # a few bytes can name a large entry again and again
                _bad_block(f"more than {MOST_HEADER_BYTES} bytes")
        return fields

    def _evict(self) -> None:
        size = sum([len(name) + len(value) + FIELD_OVERHEAD for name, value in self.dynamic])
        while size > self.limit:
            name, value = self.dynamic.pop()
            size -= len(name) + len(value) + FIELD_OVERHEAD

    def _indexed(self, index: int) -> tuple[bytes, bytes]:
        place = index - 1 - len(self.static)
        if index < 1 or place >= len(self.dynamic):
            _bad_block("an index without an entry")
        if place >= 0:
            return self.dynamic[place]
        return self.static[index - 1]

    def _literal(self, prefix: int) -> tuple[bytes, bytes]:
        index = self._integer(prefix)
        name = self._indexed(index)[0] if index else self._text()
        return name, self._text()

    def _integer(self, prefix: int) -> int:
        """Read an integer with an N-bit prefix (section 5.1)."""
        mask = (1 << prefix) - 1
        number = self._byte() & mask
        if number < mask:
            return number
        for shift in (0, 7, 14, 21):
            byte = self._byte()
            number += (byte & 127) << shift
            if byte < 128:
                return number
        return _bad_block("a number that is too large")

    def _byte(self) -> int:
        if self.place >= len(self.data):
            _bad_block("cut short")
        self.place += 1
        return self.data[self.place - 1]

    def _text(self) -> bytes:
        coded = self.place < len(self.data) and self.data[self.place] & 0x80
        size = self._integer(7)
        data = self.data[self.place : self.place + size]
        if len(data) < size:
            _bad_block("cut short")
        self.place += size
        return self._decode_huffman(data) if coded else data

    def _decode_huffman(self, data: bytes) -> bytes:
        if not self.huffman:
            self.huffman = huffman_codes()
        out = bytearray()
        code = 1
        for place, byte in enumerate(data):
            if not place % 256:
                self.trace.check()
            for shift in (7, 6, 5, 4, 3, 2, 1, 0):
                code = code << 1 | byte >> shift & 1
                symbol = self.huffman.get(code)
                if symbol is not None:
                    if symbol == END_OF_STRING:
                        _bad_block("the end of a string inside it")
                    out.append(symbol)
                    code = 1
                elif code >> 30 > 1:
                    _bad_block("no such Huffman code")
        if code not in PADDINGS:
            _bad_block("wrong padding")
        return bytes(out)


def huffman_codes() -> dict[int, int]:
    """Return code -> symbol, made from the lengths alone. A code has a 1 before it, as its bits may begin with 0."""
    codes: dict[int, int] = {}
    code = before = 0
    for size, symbol in sorted(
        [(ord(letter) - 92, symbol) for symbol, letter in enumerate(HUFFMAN_LENGTHS)]
    ):
        code <<= size - before
        codes[1 << size | code] = symbol
        code, before = code + 1, size
    return codes


def _bad_block(what: str) -> int:
    msg = f"bad HTTP/2 header block: {what}"
    raise Unhealthy(msg)
