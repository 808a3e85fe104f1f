"""Pages of unknown size: capped, retried from zero, never a redirect's or an error's body."""

import io
from functools import partial

import pytest

from builders.sources.client import MirrorError
from builders.sources.http_get import read_page, save_page
from core.retry import RetryPolicy
from tests.unit.sources.servers import (
    DATA,
    Listener,
    Response,
    Waits,
    answer,
    endless,
    serving,
)


def read(waits: Waits, *answers: Response, limit: int = 1 << 20, tries: int = 4) -> bytes:
    with serving(*answers) as server:
        return read_page(server.url, limit=limit, options=waits.options(RetryPolicy(tries=tries)))


def test_a_page_is_read_whole(waits: Waits) -> None:
    assert read(waits, answer(DATA)) == DATA
    assert waits.slept == []


def test_what_can_heal_is_tried_again_from_zero(waits: Waits) -> None:
    answers = (answer(b"busy", status=503), answer(DATA, cut=1000), answer(DATA))
    assert read(waits, *answers) == DATA
    assert len(waits.slept) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 410, 204])
def test_what_cannot_is_not(waits: Waits, status: int) -> None:
    with pytest.raises(MirrorError, match=f"HTTP {status}"):
        read(waits, answer(b"", status=status))
    assert waits.slept == []


def test_a_body_that_always_breaks_off_is_given_up(waits: Waits) -> None:
    with pytest.raises(MirrorError, match="tried 3 times"):
        read(waits, answer(DATA, cut=1000), tries=3)


@pytest.mark.parametrize("page", [endless(b"x" * 65536), answer(DATA)])
def test_more_than_the_limit_is_refused(waits: Waits, page: Response) -> None:
    with pytest.raises(MirrorError, match="sends more than 100000 bytes"):
        read(waits, page, limit=100_000)


def test_a_declared_length_is_refused_before_the_body(waits: Waits) -> None:
    with serving(answer(b"", Content_Length=10**12)) as server:
        with pytest.raises(MirrorError, match="sends more than 10 bytes"):
            read_page(server.url, limit=10, options=waits.options())
        assert server.sent == 0


def test_compressed_pages_are_refused(waits: Waits) -> None:
    with pytest.raises(MirrorError, match="Content-Encoding"):
        read(waits, answer(b"x", Content_Encoding="gzip"))


def test_a_redirect_is_followed_and_its_body_is_not_the_page(waits: Waits) -> None:
    with serving(answer(DATA)) as there:
        assert read(waits, answer(b"moved", status=302, Location=there.url)) == DATA


def test_an_archive_is_shown_as_it_comes_and_can_be_interrupted(waits: Waits) -> None:
    listener = Listener()
    with serving(answer(DATA)) as server:
        file = io.BytesIO()
        save = partial(save_page, server.url, file, limit=1 << 20, label="curl-8.21.0.tar.gz")
        save(options=waits.options(), progress=listener)
        assert sum(listener.attempts[0]) == len(DATA)
        assert listener.ends == 1
        impatient = Listener(interrupt=True)
        with pytest.raises(KeyboardInterrupt):
            save(options=waits.options(), progress=impatient)
        assert impatient.ends == 1


def test_a_second_attempt_leaves_nothing_of_the_first(waits: Waits) -> None:
    file = io.BytesIO()
    listener = Listener()
    with serving(answer(DATA, cut=2000), answer(b"short")) as server:
        save_page(server.url, file, limit=1 << 20, options=waits.options(), progress=listener)
    assert file.getvalue() == b"short"
    assert "trying again" in listener.notes[0]
