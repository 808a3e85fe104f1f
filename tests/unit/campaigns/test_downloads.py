"""The campaign's own judge sees what it must see, and its good mirror is one."""

import random
from pathlib import Path

import pytest

from builders.sources.cache import Cache
from builders.sources.fetch import Fetched, NotCached, fetch
from builders.sources.mirrors import Mirrors
from tests.campaigns.campaign import Violation
from tests.campaigns.downloads import Script, full, good_answer, judge
from tests.unit.sources.servers import DATA, Waits, file, serving, source_of


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    with serving(file()) as server:
        cache = Cache(tmp_path)
        fetch(source_of(DATA, server.url), cache, Mirrors(), options=Waits().options())
    return cache


def found(cache: Cache) -> Fetched:
    path = cache.blob(source_of().sha256)
    assert path is not None
    return Fetched(path=path, url="", seconds=0.0, cached=True)


def test_right_bytes_pass(cache: Cache) -> None:
    judge(cache, source_of(), DATA, found(cache), good=True)


def test_other_bytes_under_a_name_are_seen(cache: Cache) -> None:
    fetched = found(cache)
    stranger = fetched.path.with_name("0" * 64)
    stranger.write_bytes(b"x")
    with pytest.raises(Violation, match="other bytes"):
        judge(cache, source_of(), DATA, fetched, good=True)
    with pytest.raises(Violation, match="wrong bytes"):
        judge(cache, source_of(), b"wanted", fetched, good=True)


def test_a_good_mirror_that_was_not_used_is_seen(cache: Cache, tmp_path: Path) -> None:
    error = NotCached(source_of(), [])
    with pytest.raises(Violation, match="good mirror"):
        judge(Cache(tmp_path / "other"), source_of(), DATA, error, good=True)
    with pytest.raises(Violation, match="and yet"):
        judge(cache, source_of(), DATA, error, good=False)
    judge(Cache(tmp_path / "other"), source_of(), DATA, error, good=False)


@pytest.mark.parametrize("framing", ["length", "chunked", "close", "continue"])
def test_the_good_mirror_resumes_only_its_own_bytes(framing: str) -> None:
    chance, script = random.Random(1), Script(text=b"", good=True, framing=framing)
    ask = b'GET / HTTP/1.1\r\nRange: bytes=5-\r\nIf-Range: "good"\r\n\r\n'
    assert good_answer(chance, b"0123456789", script, ask).endswith(b"5-9/10\r\n\r\n56789")
    answers = [
        good_answer(random.Random(1), b"0123456789", script, ask.replace(b"good", b"one")),
        full(random.Random(1), b"0123456789", framing, b'"good"'),
    ]
    assert answers[0] == answers[1]
