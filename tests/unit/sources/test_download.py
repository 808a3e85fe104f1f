"""Servers that are broken, slow, mistaken or hostile."""

import io
import itertools
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders.sources.cache import Cache
from builders.sources.client import FailureKind, MirrorError
from builders.sources.download import PartialFile
from builders.sources.fetch import Fetched, Unavailable, fetch
from builders.sources.http_get import read_page
from builders.sources.mirrors import Mirrors
from core.http import redirected
from core.retry import ClientOptions, RetryPolicy
from tests.hostile_headers import HEADERS
from tests.unit.sources.servers import (
    DATA,
    Handler,
    Listener,
    Response,
    Server,
    Waits,
    answer,
    endless,
    file,
    loopback_session,
    serving,
    source_of,
)

HTML = b"<!DOCTYPE html><title>Please log in</title>"


def get(
    cache: Cache, options: ClientOptions, *urls: str, progress: Listener | None = None
) -> Fetched:
    return fetch(source_of(DATA, *urls), cache, Mirrors(), options=options, progress=progress)


def failure(cache: Cache, options: ClientOptions, *urls: str) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        get(cache, options, *urls)
    # Whatever happened, nothing that could be taken for the file is left.
    assert not list(cache.root.glob("cas/*/*"))
    assert not list(cache.root.glob("tmp/*"))
    return caught.value


def test_one_request_for_the_bytes_as_they_are(cache: Cache, waits: Waits) -> None:
    listener = Listener()
    with serving(file()) as server:
        got = get(cache, waits.options(), server.url, progress=listener)
    assert got.path.read_bytes() == DATA
    assert (got.cached, got.url) == (False, server.url)
    [request] = server.requests
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Range" not in request.headers
    assert waits.slept == []
    assert [sum(attempt) for attempt in listener.attempts] == [len(DATA)]
    assert listener.ends == 1
    assert not list(cache.root.glob("part/*"))


def test_broken_body_is_resumed_not_begun_again(cache: Cache, waits: Waits) -> None:
    listener = Listener()
    with serving(file(cut=100_000), file(cut=50_000), file()) as server:
        got = get(cache, waits.options(), server.url, progress=listener)
    assert got.path.read_bytes() == DATA
    ranges = [request.headers.get("Range") for request in server.requests]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert [request.headers.get("If-Range") for request in server.requests[1:]] == ['"one"'] * 2
    assert server.sent == len(DATA)
    assert sum(listener.attempts[-1]) == len(DATA)
    assert len(waits.slept) == 2


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, len(DATA) - 1), max_size=3))
def test_wherever_it_breaks_each_byte_is_sent_once(cuts: list[int]) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        serving(*[file(cut=cut) for cut in cuts], file()) as server,
    ):
        got = get(Cache(Path(directory)), Waits().options(), server.url)
        assert got.path.read_bytes() == DATA
    assert server.sent == len(DATA)


def test_a_body_of_no_length_that_ends_early_is_resumed(cache: Cache, waits: Waits) -> None:
    def cut(handler: Handler) -> None:
        handler.head(200, {"ETag": '"one"', "Connection": "close"})
        handler.body(DATA[:1000])

    with serving(cut, file()) as server:
        assert get(cache, waits.options(), server.url).path.read_bytes() == DATA
    assert server.requests[1].headers["Range"] == "bytes=1000-"
    assert len(waits.slept) == 1


def test_without_validator_it_begins_again(cache: Cache, waits: Waits) -> None:
    with serving(file(cut=1000, etag=None), file(etag=None)) as server:
        assert get(cache, waits.options(), server.url).path.read_bytes() == DATA
    assert not any("Range" in request.headers for request in server.requests)


def test_weak_etag_is_no_validator_but_a_date_is(cache: Cache, waits: Waits) -> None:
    date = "Mon, 01 Jun 2026 00:00:00 GMT"
    broken = answer(DATA, cut=1000, ETag='W/"weak"', Last_Modified=date)
    with serving(broken, file(etag=date)) as server:
        assert get(cache, waits.options(), server.url).path.read_bytes() == DATA
    assert server.requests[1].headers["If-Range"] == date


def test_file_that_changed_under_the_resume_is_begun_again(cache: Cache, waits: Waits) -> None:
    with serving(file(b"x" * len(DATA), etag='"old"', cut=1000), file(etag='"new"')) as server:
        assert get(cache, waits.options(), server.url).path.read_bytes() == DATA
    assert server.requests[1].headers["If-Range"] == '"old"'
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "lie",
    [
        answer(DATA[999:], status=206, Content_Range=f"bytes 999-{len(DATA) - 1}/{len(DATA)}"),
        answer(DATA[1000:], status=206, Content_Range=f"bytes 1000-{len(DATA)}/{len(DATA) + 1}"),
        answer(DATA[1000:], status=206),
        answer(status=416),
    ],
    ids=["other offset", "other total", "no range", "416"],
)
def test_wrong_206_is_not_glued_on(cache: Cache, waits: Waits, lie: Response) -> None:
    with serving(file(cut=1000), lie, file()) as server:
        assert get(cache, waits.options(), server.url).path.read_bytes() == DATA
    assert "Range" in server.requests[1].headers
    assert "Range" not in server.requests[2].headers


def test_206_that_nobody_asked_for_is_refused(cache: Cache, waits: Waits) -> None:
    with serving(answer(DATA, status=206)) as server:
        error = failure(cache, waits.options(), server.url)
    assert len(server.requests) == 1
    assert "206" in str(error)


def test_part_of_one_mirror_is_not_resumed_from_another(cache: Cache, waits: Waits) -> None:
    with serving(file(cut=1000), answer(status=404)) as first, serving(file()) as second:
        assert get(cache, waits.options(), first.url, second.url).path.read_bytes() == DATA
    assert "Range" not in second.requests[0].headers


def test_retry_after_is_obeyed(cache: Cache, waits: Waits) -> None:
    date = formatdate(1_000_020, usegmt=True)
    busy = answer(status=503, Retry_After=7), answer(status=429, Retry_After=date)
    with serving(*busy, answer(status=503, Retry_After="soon"), file()) as server:
        get(cache, waits.options(now=lambda: 1_000_000.0), server.url)
    assert waits.slept[:2] == [7.0, 20.0]
    assert 0 < waits.slept[2] <= RetryPolicy().backoff_cap


@pytest.mark.parametrize("value", ["3600", "9" * 5000, formatdate(4_000_000_000, usegmt=True)])
def test_who_asks_for_too_long_a_wait_is_left(cache: Cache, waits: Waits, value: str) -> None:
    with serving(answer(status=503, Retry_After=value)) as busy, serving(file()) as server:
        get(cache, waits.options(RetryPolicy(tries=1)), busy.url, server.url)
    assert waits.slept == []
    assert len(busy.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_can_heal_is_tried_four_times_with_growing_waits(
    cache: Cache, waits: Waits, status: int
) -> None:
    with serving(answer(status=status)) as server:
        error = failure(cache, waits.options(), server.url)
    assert len(server.requests) == 4
    assert len(waits.slept) == 3
    assert waits.slept == sorted(set(waits.slept))
    assert max(waits.slept) <= RetryPolicy().backoff_cap
    assert error.gone


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 204, 304])
def test_what_cannot_heal_is_tried_once(cache: Cache, waits: Waits, status: int) -> None:
    with serving(answer(status=status)) as server:
        error = failure(cache, waits.options(), server.url)
    assert len(server.requests) == 1
    assert waits.slept == []
    assert error.gone
    assert str(status) in str(error)
    assert server.url in str(error)
    assert "FROMSCRATCH_MIRRORS" in str(error)


def test_wrong_bytes_are_shown_and_not_asked_for_again(cache: Cache, waits: Waits) -> None:
    wrong = DATA[:-1] + b"?"
    with serving(file(wrong)) as server:
        error = failure(cache, waits.options(), server.url)
    assert len(server.requests) == 1
    assert not error.gone
    lines = [line.split()[-1] for line in str(error).splitlines() if " sha256 " in line]
    assert lines == [source_of().sha256, source_of(wrong).sha256]
    assert not list(cache.root.glob("part/*"))


def test_after_wrong_bytes_the_next_mirror_is_asked(cache: Cache, waits: Waits) -> None:
    with serving(file(DATA[::-1])) as liar, serving(file()) as server:
        assert get(cache, waits.options(), liar.url, server.url).url == server.url


@pytest.mark.parametrize(
    ("hostile", "word"),
    [
        (endless(b"z" * 65536), "more than"),
        (answer(DATA + b"!"), "declares"),
        (answer(DATA[:-1]), "declares"),
        (answer(HTML), "web page"),
        (answer(HTML, Content_Type="text/html; charset=utf-8"), "web page"),
        (answer(HTML.ljust(len(DATA))), "web page"),
        (endless(HTML), "web page"),
        (answer(DATA, Content_Encoding="gzip"), "Content-Encoding"),
    ],
    ids=["endless", "longer", "shorter", "portal", "typed", "padded", "endless portal", "gzip"],
)
def test_lies_are_recognised_early(
    cache: Cache, waits: Waits, hostile: Response, word: str
) -> None:
    with serving(hostile) as server:
        error = failure(cache, waits.options(), server.url)
    assert len(server.requests) == 1
    assert word in str(error)
    assert not error.gone
    assert not list(cache.root.glob("part/*.part"))


def test_redirects_are_followed_a_few_times(cache: Cache, waits: Waits) -> None:
    hops = [answer(status=status, Location=f"/{status}") for status in (301, 302, 303, 307, 308)]
    with serving(*hops, file()) as server:
        assert get(cache, waits.options(), server.url).path.read_bytes() == DATA
    assert [request.path for request in server.requests[1:]] == [
        *("/301", "/302", "/303", "/307", "/308")
    ]


def test_redirect_loop_ends(cache: Cache, waits: Waits) -> None:
    with serving(answer(status=302, Location="/again")) as server:
        error = failure(cache, waits.options(), server.url)
    assert len(server.requests) == RetryPolicy().redirects + 1
    assert "redirects" in str(error)


def test_body_of_a_redirect_is_not_read(cache: Cache, waits: Waits) -> None:
    def flood(handler: Handler) -> None:
        handler.head(302, {"Location": "/x", "Content-Length": 1 << 40})
        while True:
            handler.body(b"z" * 65536)

    with serving(flood, file()) as server:
        assert get(cache, waits.options(), server.url).path.read_bytes() == DATA


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "", "http://[::1", "http://a:99999/"]
)
def test_redirects_lead_to_http_only(cache: Cache, waits: Waits, location: str) -> None:
    with serving(answer(status=302, Location=location)) as server:
        failure(cache, waits.options(), server.url)
    assert len(server.requests) == 1


def test_redirect_from_https_to_http_is_refused(cache: Cache) -> None:
    class Downgrade(requests.adapters.HTTPAdapter):
        def send(self, *_args: object, **_kwargs: object) -> requests.Response:
            response = requests.Response()
            response.status_code = 302
            response.headers["Location"] = "http://127.0.0.2:1/x"
            response.raw = io.BytesIO()
            return response

    def session() -> requests.Session:
        made = loopback_session()
        made.mount("https://", Downgrade())
        return made

    error = failure(cache, ClientOptions(session=session), "https://127.0.0.1:1/curl-8.21.0.tar.gz")
    assert "plain http" in str(error)
    assert not error.gone


@pytest.fixture(scope="module")
def scripted() -> Iterator[Server]:
    real = socket.getaddrinfo

    def resolve(host: str, *args: int) -> object:
        if host not in {"127.0.0.1", b"127.0.0.1"}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args)

    with serving(file()) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield server


@settings(max_examples=60, deadline=None)
@given(
    status=st.sampled_from([200, 206, 302, 307, 404, 416, 429, 503]),
    headers=st.fixed_dictionaries({}, optional=HEADERS),
)
@example(status=200, headers={"Content-Type": "text/html; charset"})
def test_no_header_is_more_than_a_mirrors_failure(
    scripted: Server, status: int, headers: dict[str, str]
) -> None:
    def give(handler: Handler) -> None:
        handler.head(status, headers)
        handler.body(DATA)

    scripted.answers = (give,)
    waits, reasons = Waits(), [""]
    options = waits.options(RetryPolicy(tries=2, connect=1.0, read=1.0))
    with tempfile.TemporaryDirectory() as directory:
        cache = Cache(Path(directory))
        part = PartialFile(path=cache.part(source_of().sha256))
        part.begin(scripted.url, '"one"')  # so that a range is asked for
        part.data.write_bytes(DATA[:1000])
        try:
            assert get(cache, options, scripted.url).path.read_bytes() == DATA
        except Unavailable as error:
            reasons += [failure.reason.replace("\n", "") for failure in error.failures]
        try:
            page = read_page(scripted.url, limit=1 << 20, options=options)
        except MirrorError as error:
            reasons.append(error.reason)
        else:
            assert DATA.startswith(page)
    assert all(map(str.isprintable, reasons))
    assert all(0 <= wait <= RetryPolicy().retry_after_cap for wait in waits.slept)


@pytest.mark.parametrize("zone", ["+9999", "-9999", "+99999999999", "-" + "9" * 20, "-0000"])
def test_a_date_with_an_impossible_zone_is_no_wait_of_its_own(
    cache: Cache, waits: Waits, zone: str
) -> None:
    busy = answer(status=503, Retry_After=f"Mon, 01 Jan 0001 00:00:00 {zone}")
    with serving(busy, file()) as server:
        assert get(cache, waits.options(), server.url).path.read_bytes() == DATA
    assert len(waits.slept) == 1


def test_a_server_that_does_not_know_of_its_tls_is_kept_to_https() -> None:
    assert redirected("https://a.test/x", "http://a.test/y") == "https://a.test/y"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_way_out_costs_no_time(
    cache: Cache, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *args: int) -> object:
        if host == "nowhere.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    began = time.process_time()
    error = failure(
        cache,
        waits.options(),
        f"http://127.0.0.1:{free_port()}/curl-8.21.0.tar.gz?token=geheim",
        "https://me:geheim@nowhere.invalid/curl-8.21.0.tar.gz",
    )
    assert time.process_time() - began < 1
    assert waits.slept == []
    assert error.gone
    assert [found.reason for found in error.failures] == [
        "connection refused",
        "its host name cannot be resolved",
    ]
    assert "me:geheim" not in str(error)


def test_tls_failure_is_not_retried(cache: Cache, waits: Waits) -> None:
    with serving(file()) as server:
        url = server.url.replace("http:", "https:")
        error = failure(cache, waits.options(), url)
    assert waits.slept == []
    assert "TLS failed" in str(error)


def test_silence_is_waited_for_twice_only(cache: Cache, waits: Waits) -> None:
    over = threading.Event()

    def stall(handler: Handler) -> None:
        handler.head(200, {"Content-Length": len(DATA)})
        over.wait(5)

    with serving(stall) as server:
        error = failure(cache, waits.options(RetryPolicy(tries=2, read=0.1)), server.url)
        over.set()
    assert len(server.requests) == 2
    assert error.gone


def test_slow_drip_is_left(cache: Cache, waits: Waits) -> None:
    clock = itertools.count(0, 10)
    with serving(endless(b"z", pause=0.002)) as server:
        options = waits.options(monotonic=lambda: float(next(clock)))
        error = failure(cache, options, server.url)
    assert "too slow" in str(error)
    assert error.gone
    assert len(server.requests) == 1
    assert server.sent < 100


def test_connection_that_stays_open_after_the_last_byte_is_no_fault(
    cache: Cache, waits: Waits
) -> None:
    over = threading.Event()

    def linger(handler: Handler) -> None:
        handler.head(200, {})
        handler.body(DATA)
        over.wait(5)

    with serving(linger) as server:
        got = get(cache, waits.options(RetryPolicy(read=0.2)), server.url)
        over.set()
    assert got.path.read_bytes() == DATA
    assert len(server.requests) == 1


def test_all_troubles_of_all_mirrors_are_told(cache: Cache, waits: Waits) -> None:
    with serving(answer(status=404)) as gone, serving(file(DATA[::-1])) as liar:
        error = failure(cache, waits.options(), gone.url, liar.url)
    assert [found.kind for found in error.failures] == [FailureKind.GONE, FailureKind.WRONG]
    assert not error.gone
    assert all(found.url in str(error) for found in error.failures)
