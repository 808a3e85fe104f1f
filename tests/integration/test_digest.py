"""The digests in C, which the frozen probes have: compiled for this machine, under sanitizers, beside those of CPython.

That each interpreter is bound to them is shown by the logins of the behaviour tests, whose servers count with hashlib.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.digests import plain_digest, plain_hmac_rounds
from tests.integration.real_server import program

RECIPE = Path(__file__).parents[2] / "recipes" / "probe"
MAIN = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "digest.h"

/* Lines of "name rounds .key .data", in hexadecimal; objects of their own size, so that reads beyond are seen. */
static unsigned char *read_hex(size_t *size)
{
    static char text[300000];
    if (scanf("%299999s", text) != 1)
        return NULL;
    *size = (strlen(text) - 1) / 2;
    unsigned char *data = malloc(*size ? *size : 1);
    for (size_t i = 0; i < *size; i++)
        sscanf(text + 1 + 2 * i, "%2hhx", &data[i]);
    return data;
}

int main(void)
{
    char name[16];
    unsigned long rounds;
    while (scanf("%15s %lu", name, &rounds) == 2) {
        size_t key_size, data_size, made_size = 64;
        unsigned char *key = read_hex(&key_size), *data = read_hex(&data_size), made[64];
        if (!key || !data)
            return 1;
        if (!strcmp(name, "hmac"))
            repeat_hmac(key, key_size, data, data_size, rounds, made);
        else
            made_size = make_digest(name, data, data_size, made);
        putchar('.');
        for (size_t i = 0; i < made_size; i++)
            printf("%02x", made[i]);
        putchar('\\n');
        free(key);
        free(data);
    }
    return 0;
}
"""

Call = tuple[str, int, bytes, bytes]


@pytest.fixture(scope="module")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Call]], list[bytes]]:
    directory = tmp_path_factory.mktemp("digest")
    (directory / "main.c").write_text(MAIN)
    words = [program("clang"), "-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
    words += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{RECIPE}"]
    made = directory / "digest"
    files = [str(RECIPE / "digest.c"), str(directory / "main.c"), "-o", str(made)]
    subprocess.run([*words, *files], check=True)

    def run(calls: list[Call]) -> list[bytes]:
        lines = "".join(f"{n} {rounds} .{k.hex()} .{d.hex()}\n" for n, rounds, k, d in calls)
        done = subprocess.run([made], input=lines.encode(), capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        return [bytes.fromhex(line[1:]) for line in done.stdout.decode().splitlines()]

    return run


# RFC 1321 A.5, RFC 3174 7.3, FIPS 180-2 B.1 and B.2, RFC 4231 4.3
VECTORS = [
    ("md5", b"abc", "900150983cd24fb0d6963f7d28e17f72"),
    ("md5", b"1234567890" * 8, "57edf4a22be3c955ac49da2e2107b67a"),
    ("sha1", b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
    ("sha1", b"01234567" * 80, "dea356a2cddd90c7a7ecedc5ebb563934f460452"),
    ("sha256", b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        "sha256",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
]
HMAC = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_known_digests(in_c: Callable[[list[Call]], list[bytes]]) -> None:
    made = in_c([(name, 1, b"", data) for name, data, _ in VECTORS])
    assert [one.hex() for one in made] == [text for _, _, text in VECTORS]
    assert [plain_digest(name, data).hex() for name, data, _ in VECTORS] == [
        text for _, _, text in VECTORS
    ]
    jefe = b"Jefe", b"what do ya want for nothing?"
    assert in_c([("hmac", 1, *jefe)])[0].hex() == HMAC * 2 == plain_hmac_rounds(*jefe, 1).hex()


def test_every_length_around_the_blocks(in_c: Callable[[list[Call]], list[bytes]]) -> None:
    calls: list[Call] = [
        (name, 1, b"", os.urandom(size))
        for name in ("md5", "sha1", "sha256")
        for size in (*range(200), 4096, 100_000)
    ]
    assert in_c(calls) == [hashlib.new(name, data).digest() for name, _, _, data in calls]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.just("hmac"),
            st.integers(0, 20),
            st.binary(max_size=150),
            st.binary(max_size=150).map(lambda salt: salt + b"\0\0\0\1"),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_rounds_of_hmac(in_c: Callable[[list[Call]], list[bytes]], calls: list[Call]) -> None:
    for (_, rounds, key, data), made in zip(calls, in_c(calls), strict=True):
        assert made == plain_hmac_rounds(key, data, rounds)
        if rounds < 2:
            assert made == hmac.digest(key, data, "sha256") * 2
        assert made[32:] == hashlib.pbkdf2_hmac("sha256", key, data[:-4], max(rounds, 1))


@given(st.binary(max_size=150), st.binary(max_size=40), st.integers(1, 50), st.integers(1, 49))
def test_pieces_make_pbkdf2(key: bytes, salt: bytes, rounds: int, first: int) -> None:
    """RFC 8018, section 5.2: the pieces' sums add up."""
    first = min(first, rounds)
    piece = plain_hmac_rounds(key, salt + b"\0\0\0\1", first)
    total = int.from_bytes(piece[32:], "big")
    if rounds > first:
        piece = plain_hmac_rounds(key, piece[:32], rounds - first)
        total ^= int.from_bytes(piece[32:], "big")
    assert total.to_bytes(32, "big") == hashlib.pbkdf2_hmac("sha256", key, salt, rounds)


def test_no_other_name(in_c: Callable[[list[Call]], list[bytes]]) -> None:
    assert in_c([("sha512", 1, b"", b"abc")]) == [b""]
    with pytest.raises(OSError, match="sha512"):
        plain_digest("sha512", b"abc")
