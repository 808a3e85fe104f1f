"""What is made of a header: a number, a wait, a URL, or HttpError; never anything else."""

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.http import number_in, redirected
from core.retry import ClientOptions, Fault, HttpError, RetryPolicy, retry_after
from tests.hostile_headers import HEADERS


@given(value=HEADERS["Retry-After"])
@example(value="Fri, 31 Dec 2026 23:59:59 +99999999999999")
@example(value="Mon, 01 Jan 0001 00:00:00 +2359")
@example(value="9" * 5000)
def test_any_retry_after_is_a_wait_or_none(value: str) -> None:
    wait = retry_after({"Retry-After": value}, 1_000_000.0)
    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Mon, 12 Jan 1970 13:47:10 GMT", 30.0),
        ("Mon, 12 Jan 1970 13:46:10 GMT", 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_the_standard_has_it(value: str, wait: float | None) -> None:
    assert retry_after({"Retry-After": value}, 1_000_000.0) == wait


@given(value=HEADERS["Content-Length"])
@example(value="9" * 5000)
@example(value="²")
def test_any_content_length_is_a_size_or_none(value: str) -> None:
    number = number_in(value)
    assert number is None or number == int(value) >= 0


@given(url=st.sampled_from(["https://a.test/x", "http://a.test/x"]), location=HEADERS["Location"])
@example(url="http://a.test/x", location="http://[::1")
@example(url="https://a.test/x", location="//a.test:0/")
def test_any_location_is_a_url_as_safe_as_before_or_refused(url: str, location: str) -> None:
    try:
        target = urlsplit(redirected(url, location))
    except HttpError:
        return
    assert target.scheme in {"https", urlsplit(url).scheme}
    assert target.hostname


@pytest.mark.parametrize("location", ["", "http://[::1", "ftp://a.test/", "http://a.test:99999/"])
def test_what_leads_nowhere_is_an_invalid_redirect(location: str) -> None:
    with pytest.raises(HttpError, match="invalid redirect"):
        redirected("http://a.test/", location)


@given(st.integers(1, 9), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1e9)))
def test_a_wait_is_within_the_policy_or_there_is_none(
    number: int, jitter: float, asked: float | None
) -> None:
    options = ClientOptions(policy=RetryPolicy(tries=8), random=lambda: jitter)
    policy = options.policy
    try:
        wait = Fault("busy", wait=asked).delay(number, options)
    except HttpError:
        assert number >= policy.tries or (asked or 0) > policy.retry_after_cap
    else:
        assert 0 <= wait <= max(policy.backoff_cap, policy.retry_after_cap)
        assert asked in {None, wait}
