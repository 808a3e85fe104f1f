"""Looking names up in search domains whose name servers fail, in curl and the probe."""

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from builders.engines.scratch_root import PROGRAM, SandboxEnvironment
from tests.built import Built
from tests.integration.http_server import serving
from tests.unit.probe.test_dns import A, Response, name_server, question_of, record, reply

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

PORT = 53
FAILURES = {1: "form", 2: "server", 4: "unimplemented", 5: "refused"}
UNRESOLVED = 6
TRUNCATED = 0x82
UNHURRIED = "options timeout:60 attempts:1\n"
"""Whoever waits for another answer is ended by the test."""

Answers = Mapping[str, Callable[[bytes, int], bytes | None]]
"""By the name that is asked for: the reply to a query, which is the nth for this name and kind."""


def fails(code: int = 2, times: int = 1 << 30) -> Callable[[bytes, int], bytes | None]:
    return lambda query, nth: reply(query, code=code) if nth < times else here(query, nth)


def here(query: bytes, _: int) -> bytes:
    """The loopback address, and no other kind."""
    asked_for_a = question_of(query)[1] == A
    return reply(query, *([record(A, b"\x7f\0\0\1")] if asked_for_a else []))


def here_but(code: int) -> Callable[[bytes, int], bytes | None]:
    """The loopback address; the question for another kind is a failure."""
    return lambda query, nth: (
        here(query, nth) if question_of(query)[1] == A else reply(query, code=code)
    )


def unknown(query: bytes, _: int) -> bytes:
    return reply(query, code=3)


def silent(_query: bytes, _nth: int) -> None:
    return None


def cut(query: bytes, _: int) -> bytes:
    """Ask again by TCP."""
    return reply(query, flags=TRUNCATED)


@dataclass
class NameServer:
    """What it answers, and for what it was asked."""

    answers: Answers
    asked: list[str] = field(default_factory=list)
    _count: dict[bytes, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, query: bytes) -> bytes | None:
        name = question_of(query)[0]
        with self._lock:
            if name not in self.asked:
                self.asked.append(name)
            nth = self._count.get(query[12:], 0)
            self._count[query[12:]] = nth + 1
        return self.answers.get(name, unknown)(query, nth)


@dataclass(frozen=True, kw_only=True)
class Network:
    """An empty root with name servers of its own, and an HTTP server."""

    roots: SandboxEnvironment
    program: Path
    words: tuple[str, ...]
    directory: Path
    stack: ExitStack
    url: str

    def run(
        self,
        *servers: NameServer,
        tcp: Response | None = None,
        options: str = UNHURRIED,
        domains: Sequence[str] = ("one.example", "two.example"),
    ) -> int:
        """Ask for the host "db"; return the exit code."""
        conf = f"search {' '.join(domains)}\n{options}"
        for number, server in enumerate(servers, 1):
            # of its own: the kernel may still hold that of the test before
            address = f"127.53.{secrets.randbelow(256)}.{number}"
            try:
                self.stack.enter_context(name_server(server, tcp, at=(address, PORT)))
            except PermissionError:
                pytest.skip("only root may be a name server")
            conf += f"nameserver {address}\n"
        path = self.directory / "resolv.conf"
        path.write_text(conf)
        files = {PROGRAM: self.program, PurePosixPath("/etc/resolv.conf"): path}
        with self.roots.open(files) as root:
            return root.run([*self.words, self.url], seconds=60).code


CURL = ("curl:http", ("-sS", "-f", "-m", "30"), UNRESOLVED)
PROBE = ("probe:mini", ("http", "--timeout", "30s"), 1)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built.once(tmp_path_factory.mktemp("built"), CURL[0], PROBE[0])


@pytest.fixture(params=[CURL, PROBE], ids=["curl", "probe"])
def who(request: pytest.FixtureRequest) -> tuple[str, tuple[str, ...], int]:
    found: tuple[str, tuple[str, ...], int] = request.param
    return found


@pytest.fixture
def unresolved(who: tuple[str, tuple[str, ...], int]) -> int:
    """How the program ends that finds no address."""
    return who[2]


@contextmanager
def network_of(
    program: Path, words: tuple[str, ...], roots: SandboxEnvironment, directory: Path
) -> Iterator[Network]:
    with serving() as servers, ExitStack() as stack:
        yield Network(
            roots=roots,
            program=program,
            words=words,
            directory=directory,
            stack=stack,
            url=f"http://db:{servers.plain().port}/status/200",
        )


@pytest.fixture
def network(
    who: tuple[str, tuple[str, ...], int],
    both: Built,
    empty_roots: SandboxEnvironment,
    tmp_path: Path,
) -> Iterator[Network]:
    with network_of(both.file(who[0]), who[1], empty_roots, tmp_path) as network:
        yield network


@pytest.fixture
def curls(both: Built, empty_roots: SandboxEnvironment, tmp_path: Path) -> Iterator[Network]:
    """Of curl alone: the probe takes the first failure for an answer, and asks who is silent until its deadline."""
    with network_of(both.file(CURL[0]), CURL[1], empty_roots, tmp_path) as network:
        yield network


@pytest.mark.parametrize("code", FAILURES, ids=FAILURES.get)
def test_the_next_domain_is_asked(network: Network, code: int) -> None:
    server = NameServer({"db.one.example": fails(code), "db.two.example": here})
    assert network.run(server) == 0
    assert server.asked == ["db.one.example", "db.two.example"]


@pytest.mark.parametrize("code", FAILURES, ids=FAILURES.get)
def test_the_bare_name_is_asked_for(network: Network, code: int) -> None:
    failing = dict.fromkeys(("db.one.example", "db.two.example"), fails(code))
    server = NameServer({**failing, "db": here})
    assert network.run(server) == 0
    assert server.asked == ["db.one.example", "db.two.example", "db"]


@pytest.mark.parametrize("code", FAILURES, ids=FAILURES.get)
@pytest.mark.parametrize("last", [fails(), unknown], ids=["failing", "unknown"])
def test_nothing_is_found_at_last(
    network: Network, unresolved: int, code: int, last: Callable[[bytes, int], bytes | None]
) -> None:
    failing = dict.fromkeys(("db.one.example", "db.two.example"), fails(code))
    server = NameServer({**failing, "db": last})
    assert network.run(server) == unresolved
    assert server.asked == ["db.one.example", "db.two.example", "db"]


@pytest.mark.parametrize("code", FAILURES, ids=FAILURES.get)
def test_an_address_counts_when_the_other_kind_fails(network: Network, code: int) -> None:
    """And no other host of this name is looked for: curl asks for each kind by itself."""
    server = NameServer({"db.one.example": here_but(code), "db.two.example": here})
    assert network.run(server) == 0
    assert server.asked == ["db.one.example"]


def test_another_server_may_know(network: Network) -> None:
    failing, knowing = NameServer({"db.one.example": fails()}), NameServer({"db.one.example": here})
    assert network.run(failing, knowing) == 0
    assert knowing.asked == ["db.one.example"]


def test_all_servers_fail(network: Network) -> None:
    servers = [NameServer({"db.one.example": fails(), "db.two.example": here}) for _ in range(3)]
    assert network.run(*servers) == 0
    assert servers[0].asked == ["db.one.example", "db.two.example"]


def test_one_server_fails_and_another_is_silent(curls: Network) -> None:
    answers = {"db.two.example": here}
    failing = NameServer({"db.one.example": fails(), **answers})
    other = NameServer({"db.one.example": silent, **answers})
    assert curls.run(failing, other, options="options timeout:1 attempts:1\n") == 0
    assert failing.asked == ["db.one.example", "db.two.example"]


def test_a_failure_that_passes_is_asked_again(curls: Network) -> None:
    server = NameServer({"db.one.example": fails(times=1)})
    assert curls.run(server) == 0
    assert server.asked == ["db.one.example"]


def test_a_failure_by_tcp(network: Network) -> None:
    server = NameServer({"db.one.example": cut, "db.two.example": here})
    assert network.run(server, tcp=lambda query: reply(query, code=2)) == 0
    assert server.asked == ["db.one.example", "db.two.example"]


def test_an_unknown_name_is_as_before(network: Network, unresolved: int) -> None:
    server = NameServer({})
    assert network.run(server) == unresolved
    assert server.asked == ["db.one.example", "db.two.example", "db"]


def test_silence_ends_the_look_up(curls: Network) -> None:
    """Else every domain of a server that is down would be waited for."""
    server = NameServer({"db.one.example": silent, "db.two.example": here})
    assert curls.run(server, options="options timeout:1 attempts:1\n") == UNRESOLVED
    assert server.asked == ["db.one.example"]
