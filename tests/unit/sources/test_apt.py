"""Debian's index: what is taken from it, and what of it is not believed."""

from pathlib import Path

import pytest

from builders.sources import apt
from builders.sources.apt import Apt, read_stanzas
from builders.sources.client import MirrorError

STANZA = """Package: curl
Binary: curl, libcurl4
Version: {version}
Files:
 0123 99 curl_{upstream}.orig.tar.gz
Checksums-Sha256:
 {a} 111 curl_{upstream}-1.dsc
 {b} 4298225 curl_{upstream}.orig.tar.gz
 {c} 488 curl_{upstream}.orig.tar.gz.asc
 {d} 999 curl_{upstream}-1.debian.tar.xz
Homepage: https://curl.se/
Directory: {directory}
"""


def stanza(version: str, upstream: str, directory: str = "pool/main/c/curl", **more: str) -> str:
    digits = {name: name * 64 for name in "abcd"}
    text = STANZA.format(version=version, upstream=upstream, directory=directory, **digits)
    for old, new in more.items():
        text = text.replace(old, new)
    return text


def test_upstreams_part_of_a_source_package() -> None:
    text = stanza("8.21.0-2", "8.21.0") + "\n" + stanza("1:8.23.0~rc3-1", "8.23.0~rc3")
    first, other = read_stanzas(text, "curl")
    assert (first.version, other.version) == ("8.21.0", "8.23.0~rc3")
    assert first.archive.path == "pool/main/c/curl/curl_8.21.0.orig.tar.gz"
    assert (first.archive.size, first.archive.sha256) == (4298225, "b" * 64)
    assert first.signature
    assert (first.signature.path, first.signature.size) == (f"{first.archive.path}.asc", 488)


def test_without_a_signature() -> None:
    (found,) = read_stanzas(stanza("1-1", "1").replace(".gz.asc", ".gz.sig"), "curl")
    assert found.signature is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        "Package: curl\n",
        stanza("1-1", "1", "pool/main/../../etc"),
        stanza("1-1", "1", "/etc"),
        stanza("1-1", "1", "dists/sid"),
        stanza("1-1", "1").replace("b" * 64, "b" * 63),
        stanza("1-1", "1").replace("4298225", "-1"),
        stanza("1-1", "2"),
        stanza("1-1", "1").replace("curl_1.orig", "../curl_1.orig"),
        stanza("1-1", "1").replace("Package: curl", "Package: other"),
    ],
)
def test_what_is_not_as_it_should_be_is_left_out(text: str) -> None:
    assert read_stanzas(text, "curl") == []


@pytest.mark.parametrize("name", ["", "-o=x", "a b", "../curl", "a;b", "a/b"])
def test_only_names_reach_apt(tmp_path: Path, name: str) -> None:
    with pytest.raises(MirrorError, match="no name of a source package"):
        Apt(directory=tmp_path, bases=tuple).releases(name)


def test_without_a_mirror_nothing_is_asked(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match="apt names no Debian archive"):
        Apt(directory=tmp_path, bases=tuple).releases("curl")


def test_without_apt_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MirrorError, match="'apt-get' was not found"):
        Apt(directory=tmp_path, bases=lambda: ("file:///nowhere",)).releases("curl")


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "apt-get"
    slow.write_text("#!/bin/sh\nexec sleep 20\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(apt, "SECONDS", 0.2)
    with pytest.raises(MirrorError, match="took more than"):
        Apt(directory=tmp_path, bases=lambda: ("file:///nowhere",)).releases("curl")
