from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.sources.mirrors import Mirror, MirrorOrigin, Mirrors, apt_bases
from builders.sources.transports import over_http, over_pip
from core.errors import RecipeError
from recipes.model import Source
from tests.unit.sources.servers import source_of


def full_source() -> Source:
    return source_of(
        b"x", "https://curl.test/a", "https://other.test/a", debian="pool/c/a.gz", pypi="a==1"
    )


def urls(mirrors: Mirrors, source: Source | None = None) -> list[str]:
    return [mirror.url for mirror in mirrors.of(source or full_source())]


def test_order_private_upstream_debian_index() -> None:
    bases = ("http://deb.test/debian/", "http://sec.test/security")
    mirrors = Mirrors(private=("https://mine.test",), debian=lambda: bases)
    assert urls(mirrors) == [
        "https://mine.test/curl-8.21.0.tar.gz",
        "https://curl.test/a",
        "https://other.test/a",
        "http://deb.test/debian/pool/c/a.gz",
        "http://sec.test/security/pool/c/a.gz",
        "pip:a==1",
    ]
    transports = {mirror.origin: mirror.transport for mirror in mirrors.of(full_source())}
    assert transports[MirrorOrigin.PYPI] is over_pip
    assert transports[MirrorOrigin.DEBIAN] is over_http


def test_debian_is_only_asked_for_when_it_comes_to_that() -> None:
    def ask() -> tuple[str, ...]:
        pytest.fail("asked")

    mirrors = Mirrors(debian=ask)
    walk = mirrors.of(full_source())
    assert [next(walk).url, next(walk).url] == ["https://curl.test/a", "https://other.test/a"]
    assert urls(mirrors, source_of(b"x", "https://curl.test/a")) == ["https://curl.test/a"]


def test_templates_are_filled_in() -> None:
    mirrors = Mirrors.from_environment(
        {"FROMSCRATCH_MIRRORS": "https://a.test/{sha256} file:///m/{name}-{version}/{filename},"}
    )
    source = source_of(b"x", filename="a b+1~2.tar.gz")
    assert urls(mirrors, source)[:2] == [
        f"https://a.test/{source.sha256}",
        "file:///m/curl-8.21.0/a%20b+1~2.tar.gz",
    ]


def test_each_place_is_asked_once() -> None:
    mirrors = Mirrors(private=("https://a.test", "https://a.test/"))
    assert urls(mirrors)[:2] == ["https://a.test/curl-8.21.0.tar.gz", "https://curl.test/a"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("https://a.test/{filname}", "'{filename}'"),
        ("https://a.test/{sha}", "'{sha256}'"),
        ("https://a.test/{name.__class__}", "unknown placeholder"),
        ("https://a.test/{name!r}", "unknown placeholder"),
        ("https://a.test/{name:>900000000}", "unknown placeholder"),
        ("https://a.test/{}", "unknown placeholder"),
        ("https://a.test/{name", "no template"),
        ("/mnt/mirror", "file:///mnt/mirror"),
        ("ftp://a.test/", "none of http"),
        ("a.test", "none of http"),
    ],
)
def test_bad_setting_is_refused_with_a_guess(setting: str, words: str) -> None:
    with pytest.raises(RecipeError, match="FROMSCRATCH_MIRRORS") as caught:
        Mirrors.from_environment({"FROMSCRATCH_MIRRORS": setting})
    assert words in str(caught.value)


@given(st.text(max_size=30))
def test_any_setting_is_used_or_refused(setting: str) -> None:
    try:
        found = urls(Mirrors(private=(f"https://a.test/{setting}",)))
    except RecipeError:
        return
    assert found[0].startswith("https://a.test/")


def test_debian_setting_goes_before_apt() -> None:
    mirrors = Mirrors.from_environment({"FROMSCRATCH_DEBIAN_MIRROR": "http://a.test, file:///d"})
    assert urls(mirrors)[2:4] == ["http://a.test/pool/c/a.gz", "file:///d/pool/c/a.gz"]
    with pytest.raises(RecipeError, match="FROMSCRATCH_DEBIAN_MIRROR"):
        Mirrors.from_environment({"FROMSCRATCH_DEBIAN_MIRROR": "cdrom:[Debian]"})


@pytest.mark.parametrize(
    ("home", "url", "shown"),
    [
        (MirrorOrigin.PRIVATE, "https://me:pw@a.test:8/x?token=1", "https://a.test:8/x"),
        (MirrorOrigin.UPSTREAM, "https://a.test/x?download=1", "https://a.test/x?download=1"),
        (MirrorOrigin.PRIVATE, "file:///mirror/x", "file:///mirror/x"),
        (MirrorOrigin.PYPI, "pip:a==1", "pip:a==1"),
    ],
)
def test_secrets_are_not_shown(home: MirrorOrigin, url: str, shown: str) -> None:
    assert Mirror(origin=home, url=url).redacted == shown


def program(tmp_path: Path, script: str) -> str:
    path = tmp_path / "apt-get"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_apt_is_asked_for_debian_only(tmp_path: Path) -> None:
    lines = (
        "Packages Debian http://deb.test/debian/",
        "Packages Debian http://deb.test/debian/",
        "Sources Debian http://deb.test/sources/",
        "Packages Docker https://docker.test/",
        "Packages  https://unknown.test/",
        "Packages Debian mirror+file:/etc/apt/mirrors.list",
        "Packages Debian file:/srv/debian/",
        "Packages Debian http://deb.test/debian-security/",
    )
    script = "cat <<'X'\n" + "\n".join(lines) + "\nX"
    assert apt_bases(program(tmp_path, script)) == (
        "http://deb.test/debian/",
        "file:/srv/debian/",
        "http://deb.test/debian-security/",
    )


@pytest.mark.parametrize("script", ["exit 100", "printf '\\377'", "echo"])
def test_apt_that_fails_is_passed_over(tmp_path: Path, script: str) -> None:
    assert apt_bases(program(tmp_path, script)) == ()


def test_machine_without_apt() -> None:
    assert apt_bases("/nowhere/apt-get") == ()
