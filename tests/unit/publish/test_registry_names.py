"""What an image may be called in a registry, and that nothing secret of what was typed is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from publish.registry.reference import Reference, Repository

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "host", "path"),
    [
        ("oci://127.0.0.1:5000/fromscratch", "127.0.0.1:5000", "fromscratch"),
        ("oci://127.0.0.1:5000", "127.0.0.1:5000", ""),
        ("oci://ghcr.io/some-body/from.scratch/", "ghcr.io", "some-body/from.scratch"),
        ("localhost/x__y", "localhost", "x__y"),
        ("oci://[::1]:5000/x", "[::1]:5000", "x"),
        ("registry/x", "registry", "x"),
    ],
)
def test_a_destination_is_a_host_and_a_path(text: str, host: str, path: str) -> None:
    found = Repository.parse(text)
    assert (found.host, found.path) == (host, path)
    assert found.joined("probe").name == "probe"
    assert str(found.joined("probe")) == "/".join(filter(None, (host, path, "probe")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "oci://",
        "oci:///x",
        "https://ghcr.io/x",
        "oci://ghcr.io/UPPER",
        "oci://ghcr.io/a//b",
        "oci://ghcr.io/../x",
        "oci://ghcr.io/x:tag",
        "oci://ghcr.io/.x",
        "oci://ghcr.io/x y",
        "oci://ghcr.io:0/x",
        "oci://ghcr.io:99999/x",
        "oci://-x.io/x",
        "oci://[::zz]/x",
        "oci://ghcr.io/" + "x" * 300,
        "oci://ghcr.io/x?y=z",
        "oci://ghcr.io/x\n",
    ],
)
def test_what_is_none_is_refused_with_the_next_step(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Repository.parse(text)
    assert caught.value.next


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("127.0.0.1:5000", True),
        ("127.8.9.10", True),
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("[::1]:5000", True),
        ("[::2]:5000", False),
        ("10.0.0.1:5000", False),
        ("ghcr.io", False),
        ("127.0.0.1.evil.invalid", False),
        ("localhost.evil.invalid", False),
        ("128.0.0.1", False),
    ],
)
def test_plain_http_is_for_this_machine(host: str, *, plain: bool) -> None:
    assert Repository(host=host).plain is plain
    assert Repository(host=host, insecure=True).plain


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("oci://127.0.0.1:5000/x/static-curl:8.21.0-http", "8.21.0-http"),
        (f"ghcr.io/x/static-curl@sha256:{HEX}", f"sha256:{HEX}"),
        ("oci://[::1]/x:latest", "latest"),
    ],
)
def test_an_image_is_named_by_tag_or_digest(text: str, word: str) -> None:
    found = Reference.parse(text)
    assert found.word == word
    assert str(found) == text.removeprefix("oci://")
    assert found.by_digest == word.startswith("sha256:")


@pytest.mark.parametrize(
    "text",
    [
        "oci://127.0.0.1:5000",
        "oci://127.0.0.1:5000/x",
        "oci://ghcr.io/x:",
        "oci://ghcr.io/x:-a",
        "oci://ghcr.io/x@sha256:abc",
        f"oci://ghcr.io/x@sha512:{HEX}{HEX}",
        f"oci://ghcr.io/x:tag@sha256:{HEX}",
        f"oci://ghcr.io/x@sha256:{HEX.upper()}",
    ],
)
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Reference.parse(text)
    assert caught.value.next


@pytest.mark.parametrize(
    "text",
    [
        "oci://robin:s3cret@ghcr.io/x:tag",
        "oci://robin:s3cret@ghcr.io/x",
        "oci://robin:s3c/s3cret@ghcr.io/x:tag",
        "https://robin:s3cret@ghcr.io/x",
        f"oci://robin:s3cret@ghcr.io/x@sha256:{HEX}",
        "robin:s3cret@ghcr.io",
    ],
)
def test_a_password_in_it_is_refused_and_not_repeated(text: str) -> None:
    for parse in (Repository.parse, Reference.parse):
        with pytest.raises(UsageError) as caught:
            parse(text)
        assert "s3cret" not in str(caught.value)
        assert "robin" not in str(caught.value)


@given(st.text(max_size=60))
def test_whatever_is_typed_is_an_image_or_a_clear_error(text: str) -> None:
    for parse in (Repository.parse, Reference.parse):
        try:
            found = parse(text)
        except UsageError as error:
            assert error.next  # noqa: PT017 - whatever was typed may also be right
        else:
            assert parse(str(found)) == found
