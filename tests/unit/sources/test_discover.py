"""Listings: what is read out of pages and of GitHub's answers, and what is not."""

import json
from dataclasses import replace

import pytest

from builders.sources import discover
from builders.sources.client import MirrorError
from builders.sources.discover import upstream
from builders.sources.versions import Version
from recipes.model import Source
from tests.unit.sources.servers import Waits, answer, serving, source_of

PINNED = source_of(
    b"x",
    "https://curl.se/download/curl-8.21.0.tar.gz",
    "https://github.com/curl/curl/releases/download/curl-8_21_0/curl-8.21.0.tar.gz",
)


def read(waits: Waits, page: str, pinned: Source = PINNED) -> set[str]:
    with serving(answer(page.encode())) as server:
        found = upstream(server.url, pinned, waits.options())
    return {version for version in found if Version.parse(version)}


def test_links_of_every_spelling(waits: Waits) -> None:
    page = """
    <A HREF='curl-8.22.0.tar.gz'>x</A> <a class=x href=/download/curl-8.22.1.tar.gz>y</a>
    <a href="https://curl.se/download/curl-8.23.0.tar.gz?x=1#top">z</a>
    <a href="curl&#45;8.24.0.tar.gz">entity</a> <a href="curl%2D8.25.0.tar.gz">percent</a>
    curl-9.0.0.tar.gz <!-- curl-9.1.0.tar.gz --> <a href="curl-9.2.0.tar.xz">other kind</a>
    <a href="curl-9.3.0.tar.gz.asc">signature</a> <a href="libcurl-9.4.0.tar.gz">other</a>
    <a href="curl-8.26.0-rc1.tar.gz">rc</a>
    """
    assert read(waits, page) == {"8.22.0", "8.22.1", "8.23.0", "8.24.0", "8.25.0"}


def test_directories_called_like_releases(waits: Waits) -> None:
    pinned = replace(
        PINNED,
        version="3.13.15",
        filename="Python-3.13.15.tar.xz",
        urls=("https://python.invalid/ftp/3.13.15/Python-3.13.15.tar.xz",),
    )
    page = '<a href="3.13.16/">3.13.16/</a> <a href="3.14.0a1/">x</a> <a href="doc/">doc</a>'
    assert read(waits, page, pinned) == {"3.13.16"}


def test_tags_in_a_list_of_archives(waits: Waits) -> None:
    page = '<a href="/x/y/releases/download/curl-8_22_0/curl-8.22.0.tar.gz">x</a>'
    assert read(waits, page) == {"8.22.0"}


def test_nothing_but_numbers_gets_out_of_a_page(waits: Waits) -> None:
    page = '<a href="curl-../../../etc.tar.gz"> <a href="%2e%2e%2fcurl-.tar.gz"> <a href="curl-8.22.0.tar.gz">'
    assert read(waits, page) == {"8.22.0"}


def github(waits: Waits, body: object, kind: str = "releases") -> tuple[set[str], str]:
    text = body if isinstance(body, str) else json.dumps(body)
    with serving(answer(text.encode())) as server:
        found = upstream(
            f"https://github.com/Mbed-TLS/mbedtls/{kind}",
            PINNED,
            waits.options(),
            api=f"http://127.0.0.1:{server.server_port}",
        )
        return {version for version in found if Version.parse(version)}, server.requests[0].path


def test_github_releases_without_drafts_and_candidates(waits: Waits) -> None:
    body = [
        {"tag_name": "mbedtls-3.6.8", "draft": False, "prerelease": False, "assets": []},
        {"tag_name": "v3.6.9", "draft": False, "prerelease": True},
        {"tag_name": "v3.7.0", "draft": True, "prerelease": False},
        {"tag_name": "v4.0.0-beta", "draft": False, "prerelease": False},
        {"tag_name": "curl-8_22_0"},
        {"tag_name": None},
        {"name": "5.0"},
        "6.0",
        7,
    ]
    found, path = github(waits, body)
    assert found == {"3.6.8", "8.22.0"}
    assert path == "/repos/Mbed-TLS/mbedtls/releases?per_page=100"


def test_github_tags(waits: Waits) -> None:
    found, path = github(waits, [{"name": "v1.2"}, {"name": "1.3"}, {"name": "next"}], "tags")
    assert found == {"1.2", "1.3"}
    assert path == "/repos/Mbed-TLS/mbedtls/tags?per_page=100"


@pytest.mark.parametrize(
    "body", ["", "<html>", "[" * 100_000, "{}", "[]", '{"message": "slow down"}']
)
def test_github_that_answers_something_else(waits: Waits, body: str) -> None:
    with pytest.raises(MirrorError):
        github(waits, body)


@pytest.mark.parametrize(
    ("listing", "asked"),
    [
        (
            "https://github.com/a/b/releases",
            "https://api.github.com/repos/a/b/releases?per_page=100",
        ),
        ("https://github.com/a/b/tags/", "https://api.github.com/repos/a/b/tags?per_page=100"),
        ("https://github.com/a/b", "https://github.com/a/b"),
        (
            "https://github.com.evil.invalid/a/b/releases",
            "https://github.com.evil.invalid/a/b/releases",
        ),
        ("https://curl.se/download/", "https://curl.se/download/"),
    ],
)
def test_the_listing_says_who_is_asked(
    waits: Waits, monkeypatch: pytest.MonkeyPatch, listing: str, asked: str
) -> None:
    pages: list[str] = []

    def read_page(url: str, **_: object) -> bytes:
        pages.append(url)
        return b""

    monkeypatch.setattr(discover, "read_page", read_page)
    with pytest.raises(MirrorError):
        upstream(listing, PINNED, waits.options())
    assert pages == [asked]
