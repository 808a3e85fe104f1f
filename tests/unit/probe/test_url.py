from __future__ import annotations

import string
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.address import split_host_port
from probe.errors import Usage
from probe.url import join_url, parse_url, percent_decode

SAFE = string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@%/"
HOSTS = st.one_of(
    st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{0,10}(\.[a-z0-9]{1,5}){0,3}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
PATHS = st.text(SAFE, max_size=20).map(lambda text: "/" + text)
URLS = st.builds(
    "{}://{}{}{}{}{}".format,
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(["", "user@", "user:p%40ss@"]),
    HOSTS,
    st.sampled_from(["", ":1", ":8080", ":65535", ":"]),
    PATHS | st.just(""),
    st.sampled_from(["", "?", "?a=b&c=/?", "#f", "?q#f"]),
)


@given(URLS)
def test_urls_are_read_as_the_standard_library_does(text: str) -> None:
    url, parts = parse_url(text.encode()), urlsplit(text)
    assert url.scheme == parts.scheme
    assert url.host == parts.hostname
    assert url.port == (parts.port or {"http": 80, "https": 443}[parts.scheme])
    assert (url.userinfo or "") == parts.netloc.rpartition("@")[0]
    path, _, query = url.target.partition("?")
    assert (path, query) == (parts.path or "/", parts.query)


# urljoin drops empty parameters (";"), which RFC 3986 knows no more.
RELATIVE = st.text(SAFE.replace(";", ""), max_size=9)


@given(URLS, PATHS | RELATIVE | st.just("?x=y") | URLS)
def test_redirects_are_resolved_as_the_standard_library_does(base: str, location: str) -> None:
    url = parse_url(base.encode())
    origin = f"{url.scheme}://{url.authority()}{url.target}"
    if ";" in base + location:
        return
    try:
        joined = join_url(url, location.encode())
    except Usage:
        return
    if "//" in location.partition("?")[0].replace("://", ""):
        return  # the standard library drops empty segments
    expected = urlsplit(urljoin(origin, location))
    if expected.netloc:
        assert joined.host == expected.hostname
    assert joined.target.partition("?")[0] == (expected.path or "/")


@given(st.text(max_size=30).map(str.encode) | st.binary(max_size=30))
def test_anything_is_a_url_or_usage(data: bytes) -> None:
    for candidate in (data, b"http://" + data):
        try:
            url = parse_url(candidate)
        except Usage:
            continue
        assert not set(url.target + url.authority()) & set(" \r\n\t\0")
        assert (url.target + url.authority()).isascii()
        assert 1 <= url.port <= 65535


@pytest.mark.parametrize(
    "text",
    [
        *(
            "http://",
            "http:///x",
            "http://a:0/",
            "http://a:65536/",
            "http://a:b/",
            "http://[::1/",
            "http://[x]/",
        ),
        *(
            "http://a\\b/",
            "http://a b/",
            "http://a/\x7f",
            "//a/",
            "http:/a",
            "http://a_é/",
            "http://a%62/",
        ),
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(Usage):
        parse_url(text.encode())


def test_shown_without_credentials() -> None:
    url = parse_url(b"http://me:pa%20ss@h/x?a=1&access_token=t0ps&b#f")
    assert url.shown() == "http://h/x?a=1&access_token=***&b"
    assert {"me:pa ss", "pa ss", "t0ps"} <= set(url.secrets())


def test_zone() -> None:
    url = parse_url(b"http://[fe80::1%25eth0]:81/")
    assert (url.host, url.authority()) == ("fe80::1%eth0", "[fe80::1]:81")


def test_non_ascii_paths_are_encoded() -> None:
    assert parse_url("http://h/é?ü%20".encode()).target == "/%C3%A9?%C3%BC%20"


@given(st.text(SAFE))
def test_percent_decode(text: str) -> None:
    assert percent_decode(text.encode()) == unquote_to_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1", ("a", 1)),
        (":1", ("localhost", 1)),
        ("[::1]:1", ("::1", 1)),
        ("a", ("a", 9)),
        ("[::1]", ("::1", 9)),
        ("", ("localhost", 9)),
    ],
)
def test_host_port(text: str, expected: tuple[str, int]) -> None:
    assert split_host_port(text, 9) == expected


@given(st.text(max_size=12))
def test_host_port_or_usage(text: str) -> None:
    try:
        host, port = split_host_port(text, 9)
    except Usage:
        return
    assert host.isascii()
    assert 1 <= port <= 65535
