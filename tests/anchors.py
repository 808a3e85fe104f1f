"""The programs around trust anchors, built as everything is: the encoder, and mbedTLS looking for issuers.

Both are products of a recipe that is written here, so that they are made of what the real recipes give.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.built import Built

ROOT = Path(__file__).parents[1]
CHECK = ROOT / "tests" / "fixtures" / "anchors_check.c"
SOURCES = ROOT / "recipes" / "cacert"

RECIPE = """
name = "anchors"
kind = "program"
summary = "Tests of the trust anchors."
homepage = "docs/probe.md"
update = { frozen = "a test" }
local = "none"

[[releases]]
version = "1"
date = 2026-01-01
licence = "Apache-2.0"

[variants.encode]
summary = "the encoder"
needs = ["musl"]
[variants.encode.expect]
max_size = 60_000

[variants.check]
summary = "what mbedTLS makes of the anchors, with the real ones inside"
needs = ["musl", "mbedtls", "cacert:pem", "cacert:anchors", "cacert:lookup"]
embeds = ["cacert:pem", "cacert:anchors"]
[variants.check.expect]
max_size = 400_000

[[smoke]]
args = []
code = 1
variants = ["encode"]
"""

BUILD = """#!/bin/sh
set -eu
case $VARIANT in
encode) cc -std=c11 $CFLAGS $LDFLAGS "$RECIPE/encode.c" -o "$OUT/encode" ;;
check)
    cc -std=gnu2x $CFLAGS '-DMBEDTLS_CONFIG_FILE="mbedtls/fromscratch.h"' "-I$NEED_MBEDTLS/include" \\
        "-I$NEED_CACERT_LOOKUP" "--embed-dir=$NEED_CACERT_ANCHORS" "--embed-dir=$NEED_CACERT_PEM" $LDFLAGS \\
        "$RECIPE/anchors_check.c" "$NEED_CACERT_LOOKUP/anchors.c" "$NEED_MBEDTLS/lib/libmbedtls.a" \\
        "$NEED_MBEDTLS/lib/libmbedx509.a" "$NEED_MBEDTLS/lib/libmbedcrypto.a" -o "$OUT/check"
    ;;
esac
"""


def swapped(program: bytes, old: bytes, new: bytes) -> bytes:
    """A finished program with other anchors: what comes after the last one means nothing."""
    assert program.count(old) == 1
    assert len(new) <= len(old)
    return program.replace(old, new.ljust(len(old), b"\0"))


@dataclass(frozen=True, kw_only=True)
class AnchorTools:
    """The two programs."""

    encoder: Path
    checker: Path
    directory: Path
    """For files that are handed to them."""

    @classmethod
    def once(cls, directory: Path) -> "AnchorTools":
        """Build them in the user's own cache."""
        recipe = directory / "recipes" / "anchors"
        recipe.mkdir(parents=True)
        (directory / "none").mkdir()
        (recipe / "recipe.toml").write_text(RECIPE)
        (recipe / "build.sh").write_text(BUILD)
        for source in (CHECK, SOURCES / "encode.c", SOURCES / "format.h"):
            shutil.copy(source, recipe)
        products = ("anchors:encode", "anchors:check")
        built = Built.once(directory, *products, recipes=str(recipe.parent))
        files = [built.file(product) for product in products]
        return cls(encoder=files[0], checker=files[1], directory=directory)

    @property
    def pem(self) -> bytes:
        """The bundle that the real anchors are made of."""
        return self._check("pem")

    def trusting(self, program: Path, root: bytes, copy: Path) -> Path:
        """Write ``copy``: a finished file, with a PEM certificate of the tests among its anchors."""
        end = b"-----END CERTIFICATE-----\n"
        bundle = self.encode(end.join([*self.pem.split(end)[:100], root.removesuffix(end), b""]))
        copy.write_bytes(swapped(program.read_bytes(), self.anchors, bundle))
        copy.chmod(0o755)
        return copy

    @property
    def anchors(self) -> bytes:
        """The real anchors, as they are built in."""
        return self._check("anchors")

    def try_to_encode(self, pem: bytes) -> subprocess.CompletedProcess[bytes]:
        """Run the encoder; its file is there only when it ended well."""
        paths = self.directory / "in.pem", self.directory / "out.bin"
        paths[0].write_bytes(pem)
        paths[1].unlink(missing_ok=True)
        return subprocess.run([self.encoder, *paths], capture_output=True, check=False, timeout=60)

    def encode(self, pem: bytes) -> bytes:
        """Return the anchors of a bundle."""
        done = self.try_to_encode(pem)
        assert (done.returncode, done.stderr) == (0, b"")
        return (self.directory / "out.bin").read_bytes()

    def refusal(self, pem: bytes) -> str:
        """Return what the encoder says of a bundle that it does not take. Nothing is written then."""
        done = self.try_to_encode(pem)
        assert done.returncode == 1
        assert done.stdout == b""
        assert not (self.directory / "out.bin").exists()
        return done.stderr.decode()

    def matches(self, anchors: bytes, pem: bytes) -> list[tuple[int, int, int]]:
        """For each certificate of ``pem``: the code, how many anchors are the same, how many others were found."""
        lines = self._check("match", self._file("anchors", anchors), self._file("pem", pem))
        rows = [[int(word) for word in line.split()] for line in lines.decode().splitlines()]
        return [(code, same, others) for code, same, others in rows]

    def verdict(self, anchors: bytes, chain: bytes, host: str) -> str:
        """Return what mbedTLS says of a chain: ``believed``, or what is wrong with it."""
        files = self._file("anchors", anchors), self._file("pem", chain)
        return " ".join(self._check("verify", *files, host).decode().split())

    def _file(self, name: str, data: bytes) -> Path:
        path = self.directory / f"check.{name}"
        path.write_bytes(data)
        return path

    def _check(self, *words: str | Path) -> bytes:
        done = subprocess.run([self.checker, *words], capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout
