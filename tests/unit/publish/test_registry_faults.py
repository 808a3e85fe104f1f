"""Registries that fail, in every way and at every moment: no tag ever points at half an image."""

import contextlib
import copy
import dataclasses
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import PublishError
from core.retry import RetryPolicy
from publish.registry.client import POLICY, RegistryOptions
from publish.registry.credentials import Login
from publish.registry.pull import list_tags
from publish.registry.push import push
from publish.registry.reference import Repository
from tests.hostile_headers import HEADERS, TEXT
from tests.registry_server import (
    Asked,
    Auth,
    Client,
    LocationForm,
    Recorder,
    RegistryServer,
    ServerFault,
    Store,
    attachments_of,
    registry_server,
    tiny_layout,
)

BULK = 3 << 20
SOCKETS = 10
"""Every so many moments, real sockets break; between them, requests go to the handler as calls."""
REPOSITORY = "from.scratch/tools/static-curl"


@pytest.fixture
def heavy(server: RegistryServer, tmp_path: Path) -> Client:
    """One whose first layer is a large one."""
    return Client(server=server, layout=tiny_layout(tmp_path / "heavy", bulk=BULK))


def first(times: int, fault: ServerFault, word: str) -> Callable[[Asked], ServerFault | None]:
    """That happens to the first so many requests whose line begins with ``word``."""
    left = itertools.count(times, -1)
    return lambda asked: fault if str(asked).startswith(word) and next(left) > 0 else None


def undisturbed(client: Client) -> Store:
    """What the registry holds after a push in peace; it is empty again afterwards."""
    client.push("8.21.0-http", "latest")
    kept = copy.deepcopy(client.server.store)
    assert kept.incomplete() == []
    client.server.store = Store()
    client.server.log.clear()
    return kept


def fails(client: Client) -> PublishError:
    with pytest.raises(PublishError) as caught:
        client.push("8.21.0-http", "latest")
    assert not client.recorder.running
    return caught.value


# --- the promise


@pytest.mark.parametrize(
    ("fault", "referrers"),
    [
        (ServerFault.ERROR, False),
        (ServerFault.RESET, False),
        (ServerFault.MIDWAY, False),
        (ServerFault.LOST, False),
        (ServerFault.DENIED, False),
        (ServerFault.LOST, True),
    ],
)
def test_wherever_a_push_ends_no_tag_is_half_and_the_next_one_completes_it(
    client: Client, fault: ServerFault, *, referrers: bool
) -> None:
    client.attachments = client.attachments[:2]  # one of the index, one of a platform
    client.server.referrers = referrers
    client.server.lax = True  # the order of things is all that keeps the promise
    client.policy = dataclasses.replace(client.policy, tries=2)
    client.push("8.21.0-http", "latest")
    requests = len(client.server.log)
    whole = undisturbed(client)
    failed = 0
    for moment in range(requests):
        client.direct = moment % SOCKETS != 0
        client.server.log.clear()
        client.server.store = Store()

        def from_then_on(asked: Asked, moment: int = moment) -> ServerFault | None:
            return fault if asked.number >= moment else None

        client.server.fault = from_then_on
        fails(client)
        failed += 1
        assert client.server.store.incomplete() == [], moment
        client.server.fault = lambda asked: None
        done = client.push("8.21.0-http", "latest")
        assert client.server.store == whole, moment
        assert done.digest == client.layout.index.digest
    assert failed == requests > 30


@pytest.mark.parametrize("fault", [ServerFault.MIDWAY, ServerFault.LOST])
def test_one_fault_at_any_moment_is_nothing_but_a_wait(client: Client, fault: ServerFault) -> None:
    client.attachments = client.attachments[:2]
    client.push("8.21.0-http", "latest")
    requests = len(client.server.log)
    whole = undisturbed(client)
    for moment in range(requests):
        client.direct = moment % SOCKETS != 0
        client.server.log.clear()
        client.server.store = Store()
        client.slept.clear()

        def once(asked: Asked, moment: int = moment) -> ServerFault | None:
            return fault if asked.number == moment else None

        client.server.fault = once
        client.push("8.21.0-http", "latest")
        assert client.server.store == whole, moment
        assert client.slept == [0.5], moment


class Interrupting(Recorder):
    """Ctrl-C, once so many bytes are on their way."""

    def advanced(self, size: int) -> None:
        super().advanced(size)
        if self.bytes > 1 << 20:
            raise KeyboardInterrupt


def test_ctrl_c_leaves_no_tag_and_the_next_push_goes_on(heavy: Client) -> None:
    whole = undisturbed(heavy)
    heavy.recorder = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        heavy.push("8.21.0-http", "latest")
    assert not heavy.recorder.running
    assert heavy.server.store.tags == {}
    heavy.recorder = Recorder()
    heavy.push("8.21.0-http", "latest")
    assert heavy.server.store == whole


# --- retrying


def test_waits_grow_and_end(client: Client) -> None:
    client.server.fault = lambda asked: ServerFault.ERROR
    error = fails(client)
    assert client.slept == [0.5, 1.0, 2.0, 4.0]
    assert len(client.server.log) == 5
    assert "HTTP 500 (tried 5 times)" in error.what
    assert "run it again" in error.next


def test_waits_differ_from_run_to_run(client: Client) -> None:
    client.server.fault = first(1, ServerFault.ERROR, "HEAD")
    options = dataclasses.replace(client.options, random=lambda: 0.25)
    push(client.layout, client.repository, options=options)
    assert client.slept == [0.5 * (0.5 + 0.125)]


def test_a_rate_limit_is_waited_for_as_long_as_the_registry_asks(client: Client) -> None:
    client.server.retry_after = ["7", "0", ""]
    client.push()
    assert client.slept == [7.0, 0.0, 2.0]
    assert any("HTTP 429; trying again in 7.0 s" in note for note in client.recorder.notes)


def test_a_rate_limit_may_name_a_date(client: Client) -> None:
    client.server.retry_after = [formatdate(1_800_000_030, usegmt=True)]
    options = dataclasses.replace(client.options, now=lambda: 1_800_000_000.0)
    push(client.layout, client.repository, options=options)
    assert client.slept == [30.0]


def test_a_registry_that_asks_for_an_hour_is_not_waited_for(client: Client) -> None:
    client.server.retry_after = ["3600"]
    error = fails(client)
    assert client.slept == []
    assert "come back in 3600 s" in error.what


def test_nonsense_in_retry_after_is_no_wait_of_its_own(client: Client) -> None:
    client.server.retry_after = ["-5", "soon", "9" * 400]
    client.push()
    assert client.slept == [0.5, 1.0, 2.0]


def test_a_registry_that_hangs_is_left(client: Client) -> None:
    client.policy = RetryPolicy(tries=2, connect=1.0, read=0.2)
    client.server.fault = lambda asked: ServerFault.HANG
    error = fails(client)
    assert "stopped answering (tried 2 times)" in error.what


def test_a_registry_that_takes_in_a_drip_is_left(heavy: Client) -> None:
    clock = itertools.count(0, 5)  # each look at it takes so long
    options = dataclasses.replace(
        heavy.options,
        monotonic=lambda: float(next(clock)),
        policy=RetryPolicy(tries=1, grace=60.0, min_rate=1 << 20),
    )
    with pytest.raises(PublishError, match="takes bytes too slowly"):
        push(heavy.layout, heavy.repository, options=options)
    assert heavy.server.store.tags == {}


def test_nobody_there_is_said_as_it_is(client: Client) -> None:
    repository = Repository(host="127.0.0.1:1", path="tools")
    with pytest.raises(PublishError, match=r"connection refused \(tried 5 times\)"):
        push(client.layout, repository, options=client.options)


def test_a_host_that_does_not_exist_is_not_asked_twice(client: Client) -> None:
    repository = Repository(host="nobody.invalid", path="tools")
    with pytest.raises(PublishError, match="host name cannot be resolved"):
        push(client.layout, repository, options=client.options)
    assert client.slept == []


# --- what something before the registry does to large bodies


def test_a_proxy_that_takes_no_large_bodies_is_sent_pieces(heavy: Client) -> None:
    heavy.server.body_limit = 1 << 20
    heavy.push()
    assert heavy.server.store.incomplete() == []
    pieces = [asked.size for asked in heavy.server.log if asked.method == "PATCH"]
    assert max(pieces) == 512 << 10
    assert sum(pieces) > BULK
    assert heavy.slept == []


def test_a_proxy_that_hangs_up_on_large_bodies_is_sent_pieces(heavy: Client) -> None:
    heavy.server.body_limit = 1 << 20
    heavy.server.hangs_up = True
    heavy.push()
    assert heavy.server.store.incomplete() == []
    assert heavy.slept == [0.5, 1.0]
    assert heavy.server.asked("PATCH")


def test_pieces_get_smaller_until_they_pass(heavy: Client) -> None:
    heavy.server.body_limit = 200 << 10
    heavy.push()
    assert heavy.server.store.incomplete() == []
    assert {asked.size for asked in heavy.server.log if asked.method == "PATCH"} >= {
        512 << 10,
        256 << 10,
        128 << 10,
    }


def test_a_limit_that_no_piece_passes_is_an_error_that_names_it(heavy: Client) -> None:
    heavy.server.body_limit = 10 << 10
    error = fails(heavy)
    assert "takes no body of 65536 bytes" in error.what
    assert "client_max_body_size" in error.next
    assert heavy.server.store.tags == {}


def test_a_registrys_smallest_piece_is_respected(heavy: Client) -> None:
    heavy.server.body_limit = 1 << 20
    heavy.server.piece_minimum = 700 << 10
    heavy.push()
    sizes = [asked.size for asked in heavy.server.log if asked.method == "PATCH"]
    assert sizes[:-1] == [700 << 10] * (len(sizes) - 1)
    assert heavy.server.store.incomplete() == []


@pytest.mark.parametrize("form", LocationForm)
def test_pieces_go_where_the_registry_says(heavy: Client, form: LocationForm) -> None:
    heavy.server.body_limit = 1 << 20
    heavy.server.location_form = form
    heavy.push()
    assert heavy.server.store.incomplete() == []


@pytest.mark.parametrize("fault", [ServerFault.MIDWAY, ServerFault.LOST, ServerFault.ERROR])
def test_a_piece_that_gets_lost_is_an_upload_begun_anew(heavy: Client, fault: ServerFault) -> None:
    heavy.server.body_limit = 1 << 20
    heavy.server.fault = first(2, fault, "PATCH")
    heavy.push()
    assert heavy.server.store.incomplete() == []


# --- registries that do not tell the truth


def test_a_registry_that_stores_other_manifests_gets_no_tag(client: Client) -> None:
    client.server.change = lambda kind, data: data + b" " if kind == "manifest" else data
    error = fails(client)
    assert "has other bytes" in error.what
    assert client.server.store.tags == {}


def test_a_registry_that_cuts_blobs_short_gets_no_tag(client: Client) -> None:
    client.server.change = lambda kind, data: data[:-1] if kind == "blob" else data
    error = fails(client)
    assert "has it not, or not whole" in error.what
    assert client.server.store.tags == {}


def test_a_registry_that_names_another_digest_gets_no_tag(client: Client) -> None:
    client.server.says = {"Docker-Content-Digest": "sha256:" + "0" * 64}
    error = fails(client)
    assert "has other bytes" in error.what
    assert client.server.store.tags == {}


def test_a_tag_that_is_somebody_elses_in_the_end_is_not_called_pushed(client: Client) -> None:
    client.push("other")
    other = client.tagged["other"]

    def steal(asked: Asked) -> None:
        if str(asked).startswith("GET") and str(asked).endswith("/manifests/8.21.0-http"):
            for key in client.server.store.tags:
                if key[1] == "8.21.0-http":
                    client.server.store.tags[key] = client.layout.manifests()[0].digest

    client.server.fault = steal
    error = fails(client)
    assert client.layout.index.digest == other
    assert client.layout.index.digest in error.what


def test_blobs_that_were_only_said_to_be_there_are_sent_after_all(client: Client) -> None:
    whole = undisturbed(client)
    client.server.pretends = {digest for _, digest in whole.blobs}
    client.push("8.21.0-http", "latest")
    assert client.server.store == whole
    assert any("sending them again" in note for note in client.recorder.notes)


def test_an_index_whose_manifests_are_gone_gets_them_again(client: Client) -> None:
    whole = undisturbed(client)
    dropped: list[object] = []

    def forget(asked: Asked) -> None:
        # Just before the index arrives, the registry's garbage collector takes what no tag holds.
        if (
            not dropped
            and str(asked).endswith(client.layout.index.digest)
            and asked.method == "PUT"
        ):
            dropped.extend(client.server.store.manifests)
            client.server.store.manifests.clear()
            client.server.store.blobs.clear()

    client.server.fault = forget
    client.push("8.21.0-http", "latest")
    assert dropped
    assert client.server.store == whole


def test_a_registry_that_refuses_for_ever_is_given_up(client: Client) -> None:
    client.server.change = lambda kind, data: data
    real = client.server.store.blobs

    def forget(asked: Asked) -> None:
        if asked.method == "PUT" and "/manifests/" in asked.path:
            real.clear()

    client.server.fault = forget
    error = fails(client)
    assert "MANIFEST_BLOB_UNKNOWN" in error.what


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    layout = tiny_layout(tmp_path_factory.mktemp("oci"))
    with registry_server() as running:
        yield Client(
            server=running,
            layout=layout,
            attachments=attachments_of(layout)[:1],
            login=Login(user="robin", secret="s3cret-pa55word"),
            direct=True,
            policy=dataclasses.replace(POLICY, tries=2, connect=0.1, read=0.1),
        )


REGISTRY_HEADERS = {
    **HEADERS,
    **dict.fromkeys(("Docker-Content-Digest", "Range", "WWW-Authenticate"), TEXT),
    "OCI-Chunk-Min-Length": HEADERS["Content-Length"],
    "Link": st.builds('<{}>; rel="next"'.format, HEADERS["Location"]),
    "WWW-Authenticate": st.one_of(
        TEXT, st.builds('Bearer realm="{}",scope={}'.format, HEADERS["Location"], TEXT)
    ),
}


@settings(max_examples=60, deadline=None)
@given(
    fault=st.sampled_from([None, ServerFault.ERROR, ServerFault.DENIED]),
    auth=st.booleans(),
    body_limit=st.sampled_from([0, 1000]),
    headers=st.fixed_dictionaries({}, optional=REGISTRY_HEADERS),
)
@example(fault=None, auth=True, body_limit=0, headers={"Content-Type": "application/json; charset"})
def test_no_header_is_more_than_an_error_of_publishing(
    hostile: Client,
    fault: ServerFault | None,
    body_limit: int,
    headers: dict[str, str],
    *,
    auth: bool,
) -> None:
    server = hostile.server
    server.store, server.hostile, server.body_limit = Store(), headers, body_limit
    server.auth = Auth.TOKEN if auth else Auth.NONE
    server.fault = lambda asked: fault if asked.method == "PUT" else None
    hostile.slept.clear()
    with contextlib.suppress(PublishError), tempfile.TemporaryDirectory() as directory:
        hostile.push()
        hostile.pull(Path(directory))
    with contextlib.suppress(PublishError):
        list_tags(hostile.repository, options=hostile.options)
    assert server.store.incomplete() == []
    assert all(0 <= wait <= POLICY.retry_after_cap for wait in hostile.slept)


# --- those that may not


def test_a_read_only_registry_is_said_as_it_is(client: Client) -> None:
    client.server.fault = lambda asked: ServerFault.DENIED if asked.method == "POST" else None
    error = fails(client)
    assert "does not let us upload linux/amd64 layer: HTTP 403 - DENIED - no" in error.what
    assert client.slept == []
    assert error.next.startswith("docker login 127.0.0.1:")


def test_what_a_registry_says_is_shown_without_control_characters(client: Client) -> None:
    client.server.detail = "\x1b[2Jno \n way" + "x" * 1000
    client.server.fault = lambda asked: ServerFault.DENIED if asked.method == "POST" else None
    text = str(fails(client))
    assert "\x1b" not in text
    assert "no   way" in text
    assert "x" * 300 not in text


@pytest.mark.parametrize("answer", ["", "http://", "ftp://x/y", "http://[::1", "http://x:99999/y"])
def test_an_upload_that_leads_nowhere_is_not_followed(
    client: Client, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    from tests.registry_server import Handler  # noqa: PLC0415

    def nowhere(self: Handler, status: int, repository: str, name: str, **headers: str) -> None:
        self.answer(status, b"", Location=answer)

    monkeypatch.setattr(Handler, "on", nowhere)
    fails(client)
    assert client.server.store.tags == {}


def test_the_default_outside_is_the_real_one() -> None:
    options = RegistryOptions()
    assert options.policy.tries > 1
    assert json.dumps(dataclasses.asdict(options.policy))
