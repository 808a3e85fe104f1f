"""OpenSSL as recipes/openssl builds it: a program linked with it is judged and run, on this machine and by qemu."""

import shutil
from pathlib import Path

import pytest

from builders.engines.choose import find_emulator
from core.target import Target
from tests.built import Built
from tests.integration.command import ROOT
from verify.facts import read_facts

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

RECIPE = """
name = "tls-check"
kind = "program"
summary = "asks OpenSSL for known answers"
homepage = "https://example.invalid/"
update = { frozen = "it is a fixture" }
policy = "hardened"
local = "nothing"
[[releases]]
version = "1"
date = 2026-01-01
licence = "Apache-2.0"
[variants.it]
summary = "it"
needs = ["musl:base", "openssl"]
[variants.it.expect]
max_size = 3_000_000
[[smoke]]
args = []
stdout = "OpenSSL 3.5."
"""
TARGETS = tuple(t for t in Target if t.runs_natively or find_emulator(t))
"""All whose files can be run here."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    directory = tmp_path_factory.mktemp("openssl")
    fixture = ROOT / "tests/fixtures/openssl"
    there = directory / "recipes" / "tls-check"
    shutil.copytree(fixture, there)
    (there / "recipe.toml").write_text(RECIPE, "utf-8")
    (directory / "nothing").mkdir()
    recipes = str(directory / "recipes")
    return Built.once(directory, "tls-check", targets=TARGETS, recipes=recipes, pack=False)


@pytest.mark.parametrize("target", TARGETS)
def test_its_answers_are_known(built: Built, target: Target) -> None:
    entry = built.entry("tls-check:it", target=target)
    assert entry["verdict"]["ok"], entry["verdict"]
    assert (entry["smoke"]["ran"], entry["smoke"]["ok"]) == (True, True), entry["smoke"]


def test_no_instruction_is_of_avx512(built: Built) -> None:
    """Its loads and ternary logic of whole ZMM registers are what OpenSSL's code of that kind begins with."""
    file: Path = built.file("tls-check:it", target=Target.AMD64)
    (code,) = (segment for segment in read_facts(file).loads if segment.executable)
    content = file.read_bytes()[code.offset : code.offset + code.file_size]
    assert b"\xc5\xfd\x6f" in content  # vmovdqa of a YMM register: AVX2 is in
    assert b"\x62\xf1\xfe\x48\x6f" not in content  # vmovdqu64 of a ZMM register
    assert b"\x62\xf1\x7d\x48\x6f" not in content  # vmovdqa32
    assert b"\x62\xf3\x6d\x48\x25" not in content  # vpternlogd
