from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import Unhealthy
from probe.grpc_check import GrpcAnswer, _judge_answer, _take_frame, read_serving_status
from probe.hpack import HeaderDecoder, encode_fields, huffman_codes
from probe.scheduler import Trace

NEVER = 1e18

FIELDS = st.lists(
    st.tuples(st.binary(min_size=1, max_size=200), st.binary(max_size=300)), max_size=5
)


@given(FIELDS)
def test_fields_come_back(fields: list[tuple[bytes, bytes]]) -> None:
    assert HeaderDecoder(Trace(NEVER)).read_block(encode_fields(fields)) == fields


@given(st.binary(max_size=100))
def test_huffman_comes_back(data: bytes) -> None:
    codes = {symbol: f"{code:b}"[1:] for code, symbol in huffman_codes().items()}
    assert len(codes) == 257
    bits = "".join(codes[byte] for byte in data)
    bits += "1" * (-len(bits) % 8)
    coded = int(bits or "0", 2).to_bytes(len(bits) // 8, "big")
    size = bytes([0x80 | len(coded)]) if len(coded) < 127 else None
    if size is not None:
        assert HeaderDecoder(Trace(NEVER)).read_block(b"\0\1a" + size + coded) == [(b"a", data)]


def test_the_examples_of_the_rfc() -> None:
    """RFC 7541 appendix C.6: three responses on one connection, Huffman coded, with the dynamic table."""
    decoder = HeaderDecoder(Trace(NEVER))
    first = decoder.read_block(
        bytes.fromhex(
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff"
            "6e919d29ad171863c78f0b97c8e9ae82ae43d3"
        )
    )
    assert first == [
        (b":status", b"302"),
        (b"cache-control", b"private"),
        (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        (b"location", b"https://www.example.com"),
    ]
    second = decoder.read_block(bytes.fromhex("4883640effc1c0bf"))
    assert second == [(b":status", b"307"), *first[1:]]


def huffman_text(bits: str) -> bytes:
    """Decode bits as the value of a header; their number must be whole bytes."""
    assert len(bits) % 8 == 0
    coded = int(bits or "0", 2).to_bytes(len(bits) // 8, "big")
    block = b"\0\1a" + bytes([0x80 | len(coded)]) + coded
    [(name, value)] = HeaderDecoder(Trace(NEVER)).read_block(block)
    assert name == b"a"
    return value


LETTER = "00011"  # 'a', of 5 bits: a row of them leaves 0 to 7 bits of the last byte
END = "1" * 30  # EOS


class TestHuffmanPadding:
    """RFC 7541, section 5.2: the first bits of EOS, fewer than a byte's."""

    @pytest.mark.parametrize("count", range(9))
    def test_ones_up_to_the_next_byte_are_padding(self, count: int) -> None:
        bits = LETTER * count
        assert huffman_text(bits + "1" * (-len(bits) % 8)) == b"a" * count

    @pytest.mark.parametrize("count", range(9))
    @pytest.mark.parametrize("more", [8, 16])
    def test_a_whole_byte_of_padding_is_refused(self, count: int, more: int) -> None:
        bits = LETTER * count
        with pytest.raises(Unhealthy, match="wrong padding"):
            huffman_text(bits + "1" * (-len(bits) % 8 + more))

    @pytest.mark.parametrize(
        "padding",
        [f"{number:0{size}b}" for size in range(1, 5) for number in range((1 << size) - 1)]
        + ["11110", "111101", "111110", "1111100", "1111101", "1111110"],  # no code, nor all ones
    )
    def test_a_zero_in_the_padding_is_refused(self, padding: str) -> None:
        (count,) = (number for number in range(8) if -5 * number % 8 == len(padding))
        with pytest.raises(Unhealthy, match="wrong padding"):
            huffman_text(LETTER * count + padding)

    @pytest.mark.parametrize("before", ["", LETTER, LETTER * 8])
    @pytest.mark.parametrize("behind", ["", LETTER])
    def test_the_end_of_a_string_is_refused_inside_it(self, before: str, behind: str) -> None:
        bits = before + END + behind
        with pytest.raises(Unhealthy, match="the end of a string inside it"):
            huffman_text(bits + "1" * (-len(bits) % 8))

    def test_one_bit_less_than_the_end_is_padding_of_too_many_bits(self) -> None:
        with pytest.raises(Unhealthy, match="wrong padding"):
            huffman_text(LETTER * 7 + END[:-1])


@given(st.binary(max_size=60))
def test_any_block_is_read_or_refused(data: bytes) -> None:
    decoder = HeaderDecoder(Trace(NEVER))
    try:
        decoder.read_block(data)
        decoder.read_block(data)
    except Unhealthy:
        return


def test_a_small_block_cannot_become_a_large_header() -> None:
    entry = b"\x40\1a\x7f\x81\x1e" + b"x" * 4000
    with pytest.raises(Unhealthy, match="more than"):
        HeaderDecoder(Trace(NEVER)).read_block(entry + b"\xbe" * 9999)


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"\x08\x01", 1),
        (b"", 0),
        (b"\x08\x02", 2),
        (b"\x12\x01x\x08\x01", 1),
        (b"\x1d\0\0\0\0\x08\x01", 1),
    ],
)
def test_serving_status(message: bytes, status: int) -> None:
    assert read_serving_status(b"\0" + len(message).to_bytes(4, "big") + message) == status


@given(st.binary(max_size=30))
def test_any_message_is_read_or_refused(message: bytes) -> None:
    for data in (message, b"\0" + len(message).to_bytes(4, "big") + message):
        try:
            read_serving_status(data)
        except Unhealthy:
            continue


HEADERS, DATA, WHOLE, ENDS = 1, 0, 4, 1
SERVING = b"\0\0\0\0\2\x08\1"
STATUSES = st.sampled_from([b"200", b"204", b"404", b"503", b"302", b"", b"20", b"2000"])
KINDS = st.sampled_from(
    [b"application/grpc", b"application/grpc+proto", b"Application/gRPC;x=y", b"text/html", b"",
     b"application/grpc-web", b"application/json", b"application/grp"]
)  # fmt: skip
GOOD_KINDS = {b"application/grpc", b"application/grpc+proto", b"Application/gRPC;x=y"}


def judged(*blocks: list[tuple[bytes, bytes]]) -> str:
    """What is said of these header blocks, the last of which ends the answer, and a message before it."""
    answer = GrpcAnswer(Trace(NEVER))
    for number, fields in enumerate(blocks, 1):
        last = number == len(blocks)
        if last:
            _take_frame(answer, DATA, 0, 1, SERVING)
        _take_frame(answer, HEADERS, WHOLE | ENDS * last, 1, encode_fields(fields))
    assert answer.ended
    return _judge_answer(answer)


@given(STATUSES, KINDS, st.booleans(), st.booleans())
def test_only_a_grpc_answer_of_status_200_serves(
    status: bytes, kind: bytes, alone: bool, interim: bool
) -> None:
    head, ok = [(b":status", status), (b"content-type", kind)], [(b"grpc-status", b"0")]
    blocks = [head + ok] if alone else [head, ok]
    if interim:
        blocks.insert(0, [(b":status", b"103")])
    if status == b"200" and kind in GOOD_KINDS:
        assert judged(*blocks) == "SERVING"
    else:
        with pytest.raises(Unhealthy, match="gRPC status 0, but with HTTP status"):
            judged(*blocks)


GOOD = [(b":status", b"200"), (b"content-type", b"application/grpc")]
OK = [(b"grpc-status", b"0")]


@pytest.mark.parametrize(
    "blocks",
    [
        [[(b":status", b"503"), GOOD[1]], [GOOD[0], *OK]],
        [GOOD, [GOOD[0], *OK]],
        [GOOD, [(b"grpc-status", b"14"), *OK]],
        [[*GOOD, *OK], [(b"grpc-status", b"14")]],
        [[*GOOD, *OK], []],
        [[*GOOD, GOOD[1]], OK],
        [[(b":status", b"503"), *GOOD], OK],
        [[], [*OK, *GOOD[1:]]],
        [OK],
    ],
)
def test_what_a_later_block_says_heals_nothing(blocks: list[list[tuple[bytes, bytes]]]) -> None:
    with pytest.raises(Unhealthy):
        judged(*blocks)


def test_the_size_of_the_table_changes_before_the_fields_and_twice_at_most() -> None:
    assert HeaderDecoder(Trace(NEVER)).read_block(b"\x20\x3f\xe1\x1f\x88") == [(b":status", b"200")]
    for block in (b"\x20" * 3, b"\x88\x20", b"\x3f\xe1\x1f" * 20000):
        with pytest.raises(Unhealthy, match="out of place"):
            HeaderDecoder(Trace(NEVER)).read_block(block)


class Watched(Trace):
    """Counts the looks at the clock, and says that the time is over at the last of them."""

    def __init__(self, looks: int) -> None:
        super().__init__(NEVER)
        self.looks = looks

    def check(self) -> None:
        self.looks -= 1
        if self.looks < 0:
            raise Unhealthy(self.timeout_text())


def long_text(size: int) -> bytes:
    """A field whose value is that many bytes of Huffman code, in the form that takes longest to read."""
    return (
        b"\0\1a\xff"
        + bytes([size - 127 & 127 | 128, size - 127 >> 7 & 127 | 128, size - 127 >> 14])
        + bytes(size)
    )


@pytest.mark.parametrize("block", [long_text(40_000), b"\0\1a\x81\x07" * 400, b"\x88" * 400])
def test_the_clock_is_looked_at_while_a_block_is_read(block: bytes) -> None:
    trace = Watched(1000)
    HeaderDecoder(trace).read_block(block)
    looks = 1000 - trace.looks
    assert looks > 100
    for few in (0, 1, looks - 1):
        with pytest.raises(Unhealthy, match="timeout"):
            HeaderDecoder(Watched(few)).read_block(block)
