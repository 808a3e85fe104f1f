"""What the built curls do over HTTP: in an empty root, against servers on loopback."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from builders.engines.scratch_root import PROGRAM, SandboxEnvironment
from core.scratch import RunResult
from recipes.load import load_recipes
from tests.built import Built
from tests.integration.http_server import PLAIN, Server, Servers, serving

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

VERSION = load_recipes()["curl"].releases[0].version
EVERY = ("mini", "http", "https")
FULL = ("http", "https")

Curl = Callable[..., RunResult]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with serving() as servers:
        yield servers


@pytest.fixture(scope="module")
def server(servers: Servers) -> Server:
    return servers.plain()


@pytest.fixture
def url(server: Server) -> str:
    server.asked.clear()
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture(params=[*EVERY, "https.upx"])
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def curl(built: Built, empty_roots: SandboxEnvironment, variant: str) -> Curl:
    """One variant of curl in an empty root; ``files`` are to be seen in there."""
    name, _, packed = variant.partition(".")
    program = built.file(f"curl:{name}", packed=bool(packed))

    def run(
        *args: str, files: Mapping[str, Path] | None = None, env: Mapping[str, str] | None = None
    ) -> RunResult:
        inside = {PurePosixPath(name): path for name, path in (files or {}).items()}
        with empty_roots.open({PROGRAM: program, **inside}) as root:
            return root.run(["-sS", *args], seconds=20, env=env)

    return run


def only(*variants: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("variant", variants)


def echoed(ran: RunResult) -> Any:
    assert ran.code == 0, ran.stderr
    return json.loads(ran.stdout)


def test_get(curl: Curl, url: str) -> None:
    asked = echoed(curl(f"{url}/echo?a=1"))
    assert (asked["method"], asked["path"]) == ("GET", "/echo?a=1")
    assert asked["headers"]["user-agent"] == f"curl/{VERSION}"


@pytest.mark.parametrize("status", [404, 500, 503])
def test_an_error_is_a_result_unless_fail_is_asked_for(curl: Curl, url: str, status: int) -> None:
    assert curl(f"{url}/status/{status}")[:2] == (0, "no")
    assert curl("-f", f"{url}/status/{status}")[:2] == (22, "")
    assert curl("--fail-with-body", f"{url}/status/{status}")[:2] == (22, "no")


def test_good_answers_pass_fail(curl: Curl, url: str) -> None:
    assert curl("-f", f"{url}/status/200")[:2] == (0, "ok")
    assert curl("-f", f"{url}/status/204").code == 0
    assert curl("-f", "-w", "%{http_code}", f"{url}/redirect")[:2] == (0, "301")


def test_redirects_are_followed_only_when_asked(curl: Curl, url: str) -> None:
    assert echoed(curl("-L", f"{url}/redirect"))["path"] == "/echo"
    assert curl("-L", "--max-redirs", "3", f"{url}/loop").code == 47


def test_a_slow_server_is_a_timeout(curl: Curl, url: str) -> None:
    assert curl("-m", "0.3", f"{url}/slow").code == 28


def test_a_closed_port_is_refused(curl: Curl, servers: Servers) -> None:
    assert curl("-f", f"http://127.0.0.1:{servers.closed()}/").code == 7
    assert curl("--connect-timeout", "9", f"http://127.0.0.1:{servers.closed()}/").code == 7


def test_unix_socket_by_path(curl: Curl, servers: Servers, tmp_path_factory: Any) -> None:
    directory = tmp_path_factory.mktemp("socket")
    directory.chmod(0o755)
    servers.unix(directory / "http.sock")
    ran = curl(
        "--unix-socket", "/run/http.sock", "http://localhost/echo", files={"/run": directory}
    )
    assert echoed(ran)["headers"]["host"] == "localhost"
    assert (
        curl("--unix-socket", "/run/none", "http://localhost/", files={"/run": directory}).code == 7
    )


def test_ipv6(curl: Curl, servers: Servers) -> None:
    server = servers.plain("::1")
    assert echoed(curl(f"http://[::1]:{server.port}/echo"))["path"] == "/echo"


def test_retry_heals_what_can_heal(curl: Curl, url: str, server: Server) -> None:
    retry = ("-f", "--retry", "3", "--retry-delay", "0", "--retry-max-time", "9")
    assert curl(*retry, f"{url}/flaky").stdout.endswith("ok")
    assert len(server.asked) == 3
    server.asked.clear()
    assert curl(*retry, f"{url}/status/404").code == 22
    assert len(server.asked) == 1


def test_resolve_and_connect_to(curl: Curl, url: str, server: Server) -> None:
    name = f"service.internal:{server.port}"
    asked = echoed(curl("--resolve", f"{name}:127.0.0.1", f"http://{name}/echo"))
    assert asked["headers"]["host"] == name
    ran = curl("--connect-to", f"::127.0.0.1:{server.port}", "http://service.internal/echo")
    assert echoed(ran)["headers"]["host"] == "service.internal"


def test_write_out_and_head(curl: Curl, url: str) -> None:
    ran = curl("-I", f"{url}/status/200")
    assert ran.stdout.startswith("HTTP/1.1 200 OK")
    ran = curl("-w", "|%{http_code}|%{method}|%{size_download}", f"{url}/status/200")
    assert ran.stdout == "ok|200|GET|2"


def test_headers_methods_and_bodies(curl: Curl, url: str) -> None:
    asked = echoed(curl("-H", "X-One: 1", "-H", "Accept:", "-A", "me", f"{url}/echo"))
    assert asked["headers"]["x-one"] == "1"
    assert asked["headers"]["user-agent"] == "me"
    assert "accept" not in asked["headers"]
    asked = echoed(curl("-X", "DELETE", f"{url}/echo"))
    assert asked["method"] == "DELETE"
    asked = echoed(curl("-d", "a=1", "--data-urlencode", "b=&", f"{url}/echo"))
    assert (asked["method"], asked["body"]) == ("POST", "a=1&b=%26")
    asked = echoed(curl("--json", '{"a": 1}', f"{url}/echo"))
    assert asked["headers"]["content-type"] == "application/json"


def test_basic_and_bearer_auth(curl: Curl, url: str) -> None:
    assert echoed(curl("-f", "-u", "user:secret", f"{url}/basic"))["path"] == "/basic"
    assert curl("-f", "-u", "user:wrong", f"{url}/basic").code == 22
    asked = echoed(curl("--oauth2-bearer", "token", f"{url}/echo"))
    assert asked["headers"]["authorization"] == "Bearer token"


def test_gzip_is_not_promised_so_nothing_pretends_to_it(curl: Curl, url: str) -> None:
    ran = curl("--compressed", f"{url}/gzip")
    assert ran.code == 2
    assert "is unknown" in ran.stderr
    # A body that comes compressed all the same is left alone.
    assert "accept-encoding" not in echoed(curl(f"{url}/echo"))["headers"]
    ran = curl(f"{url}/gzip", "-w", "%{size_download}")
    assert ran.code == 0
    assert PLAIN.decode() not in ran.stdout


@only(*FULL)
def test_cookies(curl: Curl, url: str, server: Server) -> None:
    assert echoed(curl("-b", "a=b", f"{url}/echo"))["headers"]["cookie"] == "a=b"
    ran = curl("-L", "-c", "-", f"{url}/set-cookie")
    assert server.asked[-1].headers["cookie"] == "flavour=oats"
    assert "\tflavour\toats\n" in ran.stdout  # the jar


@only(*FULL)
def test_forms(curl: Curl, url: str) -> None:
    asked = echoed(curl("-F", "name=value;type=text/plain", f"{url}/echo"))
    assert asked["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert 'name="name"' in asked["body"]


@only(*FULL)
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_digest(curl: Curl, url: str, algorithm: str) -> None:
    path = f"/digest/{algorithm}"
    assert echoed(curl("-f", "--anyauth", "-u", "user:secret", f"{url}{path}"))["path"] == path
    assert curl("-f", "--anyauth", "-u", "user:wrong", f"{url}{path}").code == 22


@only(*FULL)
def test_netrc(curl: Curl, url: str, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    ran = curl("--netrc-file", "/netrc", f"{url}/basic", "-f", files={"/netrc": netrc})
    assert echoed(ran)["path"] == "/basic"


@only(*FULL)
def test_proxy(curl: Curl, url: str, server: Server) -> None:
    asked = echoed(curl("-x", url, "http://service.invalid/echo"))
    assert asked["path"] == "http://service.invalid/echo"
    asked = echoed(curl("http://service.invalid/echo", env={"http_proxy": url}))
    assert asked["headers"]["host"] == "service.invalid"
    asked = echoed(curl("-x", url, "-p", f"{url}/echo"))  # a tunnel
    assert asked["path"] == "/echo"
    assert [asked.method for asked in server.asked][-2:] == ["CONNECT", "GET"]


@only("mini")
@pytest.mark.parametrize(
    "words",
    [
        ("-b", "a=b"),
        ("-c", "/jar"),
        ("-F", "a=b"),
        ("-x", "http://127.0.0.1:1"),
        ("--cacert", "/ca.pem"),
        ("--digest",),
    ],
)
def test_what_mini_leaves_out_is_refused(
    curl: Curl, url: str, server: Server, words: tuple[str, ...]
) -> None:
    assert curl(*words, f"{url}/echo").code == 2
    assert not server.asked


@only("mini")
def test_mini_does_not_answer_a_digest_challenge(curl: Curl, url: str) -> None:
    assert curl("-f", "--anyauth", "-u", "user:secret", f"{url}/digest/MD5").code == 22


@only(*EVERY)
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_says_when_to_come_back(curl: Curl, url: str, server: Server, form: str) -> None:
    begun = time.monotonic()
    assert curl("--retry", "1", "-f", f"{url}/later/{form}").code == 0
    assert time.monotonic() - begun > 1.9  # it is 1 when nobody says anything
    assert len(server.asked) == 2


@only(*FULL)
def test_a_request_is_signed_for_aws(curl: Curl, url: str) -> None:
    words = ("--aws-sigv4", "aws:amz:us-east-1:s3", "-u", "key:secret")
    headers = echoed(curl(*words, f"{url}/echo"))["headers"]
    assert re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=key/\d{8}/us-east-1/s3/aws4_request, SignedHeaders=[a-z0-9;-]+, "
        r"Signature=[0-9a-f]{64}",
        headers["authorization"],
    )


@only(*FULL)
def test_where_a_connection_comes_from(curl: Curl, url: str) -> None:
    words = ("--interface", "127.0.0.2", "--local-port", "41000-42000")
    ran = curl(*words, "--out-null", "-w", "%{local_ip} %{local_port}", f"{url}/echo")
    address, port = ran.stdout.split()
    assert (ran.code, address) == (0, "127.0.0.2")
    assert 41_000 <= int(port) <= 42_000
    assert curl("--interface", "no-such-one", f"{url}/echo").code == 45


@only(*EVERY)
def test_only_what_is_newer(curl: Curl, url: str) -> None:
    headers = echoed(curl("-z", "2 Jan 2026 00:00:00 GMT", f"{url}/echo"))["headers"]
    assert headers["if-modified-since"] == "Fri, 02 Jan 2026 00:00:00 GMT"


@only("mini", "http")
def test_without_tls_https_is_refused(curl: Curl) -> None:
    ran = curl("-k", "https://127.0.0.1:1/")
    assert ran.code == 1
