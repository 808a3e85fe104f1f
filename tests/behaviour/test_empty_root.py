"""The frozen files where they are made for: alone, as uid 65532, read-only, without /tmp, /proc, /dev and /etc."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
from trustme import CA

from builders.engines.scratch_root import PROGRAM, SandboxEnvironment
from core.scratch import RunResult
from tests.behaviour.servers import answer, flood, free_port, greet, http_reply, serving
from tests.behaviour.test_https import over_tls
from tests.behaviour.test_other_checks import SETTINGS, grpc_reply
from tests.built import Built
from tests.interpreters import FROZEN, Interpreter, interpreters

pytestmark = pytest.mark.sandbox


class Alone:
    """One frozen file in empty roots that hold nothing else but what a test puts there."""

    def __init__(self, environment: SandboxEnvironment, program: Path) -> None:
        self.environment = environment
        self.program = program

    def __call__(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> RunResult:
        inside = {PurePosixPath(name): path for name, path in (files or {}).items()}
        with self.environment.open({**inside, PROGRAM: self.program}) as root:
            ran = root.run(argv, seconds=20, env=env)
        assert ran.code in {0, 1}
        assert ran.stderr == ""
        assert len(ran.stdout) <= 4096
        assert "internal error" not in ran.stdout
        return ran


@pytest.fixture(params=[it for it in interpreters() if it in FROZEN])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Only those that are handed out: one file each, without a sanitizer."""
    return Interpreter(request.param)


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def alone(
    interpreter: Interpreter,
    request: pytest.FixtureRequest,
    frozen: Built,
    empty_roots: SandboxEnvironment,
) -> Alone:
    return Alone(empty_roots, frozen.file(interpreter.product, packed=request.param))


def test_it_says_who_it_is(alone: Alone) -> None:
    assert alone("--version") == (0, "probe 0.1.0\n", "")
    assert "HEALTHCHECK" in alone("--help").stdout
    assert alone("nonsense").code == 1


def test_http(alone: Alone) -> None:
    with serving(answer(http_reply(body=b'{"status": "ok"}'))) as server:
        url = f"http://localhost:{server.port}/health"
        healthy = alone(url, "--json", "status=ok")
        named = alone(env={"PROBE_URL": url, "PROBE_CONTAINS": "ok"})
        other = alone("http", "--url-env", "WHERE", "--status", "204", env={"WHERE": url})
    assert healthy.code == 0
    assert healthy.stdout.startswith(f"healthy: http {url}: 200, json as expected in ")
    assert named.code == 0
    assert (other.code, "200, not in 204" in other.stdout) == (1, True)
    refused = alone(f"http://localhost:{free_port()}/")
    assert (refused.code, "refused" in refused.stdout) == (1, True)


def test_names_need_what_is_not_there(alone: Alone, tmp_path: Path) -> None:
    done = alone("http://app.example/")
    assert done.code == 1
    assert "no name server in /etc/resolv.conf" in done.stdout
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 app.example\n")
    with serving(answer(http_reply())) as server:
        url = f"http://app.example:{server.port}/"
        assert alone(url, files={"/etc/hosts": hosts}).code == 0


def test_https(alone: Alone, interpreter: Interpreter, tmp_path: Path) -> None:
    authority, ca = CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serving(over_tls(context, http_reply())) as server:
        url = f"https://localhost:{server.port}/"
        if not interpreter.has_tls:
            assert "this build has no TLS" in alone(url).stdout
            return
        assert alone(url, "--ca-file", "/ca.pem", files={"/ca.pem": ca}).code == 0
        # The certificates inside are looked through: there are no others here.
        assert "not correctly signed by the trusted CA" in alone(url).stdout


def test_sockets_and_servers(alone: Alone, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving(greet(first=b"hi"), path=path) as server:
        path.chmod(0o666)  # the probe runs as somebody else
        done = alone("unix", "/run/app", "--expect", "hi", files={"/run/app": path})
        assert done.code == 0, done
    with serving(answer(http_reply()), path=tmp_path / "http") as server:
        files = {"/run/app": Path(server.address)}
        Path(server.address).chmod(0o666)
        assert alone("http://app/", "--unix-socket", "/run/app", files=files).code == 0
    with serving(greet(replies=(b"+PONG\r\n",))) as server:
        assert alone("redis", server.address).code == 0
    with serving(greet(replies=(SETTINGS + grpc_reply(1),))) as server:
        assert alone("grpc", server.address).code == 0
        both = alone("grpc", server.address, "--and", "tcp", f"127.0.0.1:{free_port()}")
    assert (both.code, "1 of 2 passed" in both.stdout) == (1, True)


def test_files(alone: Alone, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.write_text("all ok")
    files = {"/run/ready": ready}
    assert (
        alone("file", "/run/ready", "--max-age", "60s", "--contains", "ok", files=files).code == 0
    )
    assert "no such file" in alone("file", "/run/ready").stdout


def test_processes_need_proc(alone: Alone, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    pid.write_text("1\n")
    for words in (("process", "app"), ("process", "--pid-file", "/run/pid")):
        done = alone(*words, files={"/run/pid": pid})
        assert (done.code, "/proc is not mounted" in done.stdout) == (1, True)


def test_the_deadline(alone: Alone) -> None:
    with serving(
        flood(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", b"y" * 65536)
    ) as it:
        done = alone(f"http://{it.address}/", "--contains", "x", "--timeout", "700ms")
    assert done.code == 1
