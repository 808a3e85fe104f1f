"""curl:full's HTTP/3 against NGINX, which shows a server's staple over QUIC and asks for a client's certificate there.

Debian's is built with HTTP/3 from 13 on. FROMSCRATCH_TEST_NGINX names a directory with that package and what it is
linked with, unpacked: `.ci/newer trixie DIRECTORY nginx libc6 libssl3t64 libpcre2-8-0 libcrypt1 zlib1g libzstd1`.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.curls import OK, Curl
from tests.integration.authorities import Authority, pem_of
from tests.integration.nginx import start_nginx
from tests.integration.quic_server import silent_port
from tests.integration.real_server import HOST, own_server, program
from tests.integration.staples import BETWEEN, CLIENT, LEAF, NO_STATUS, ROOT, STAPLES

pytestmark = pytest.mark.builds

UNPACKED = "FROMSCRATCH_TEST_NGINX"
SIZE = 5_000_000
MODULE = "--with-http_v3_module"

NGINX = """
ssl_certificate {directory}/chain.pem; ssl_certificate_key {directory}/key.pem; ssl_protocols TLSv1.3;
ssl_client_certificate {directory}/root.pem;
server {{ listen {host}:{port}; }}
{servers}
"""
SERVER = """
    server {{
        listen {host}:{port} quic; {more}
        location = /large {{ root {directory}; }}
        location / {{ return 200 "$server_protocol $ssl_client_verify"; }}
    }}
"""


@dataclass(frozen=True, kw_only=True)
class Http3Servers:
    """One NGINX, with a port for each way to behave."""

    ports: Mapping[str, int]

    def url(self, name: str, path: str = "/") -> str:
        return f"https://{HOST}:{self.ports[name]}{path}"


def nginx() -> list[str]:
    """The words that start an NGINX with HTTP/3; the test is skipped where there is none."""
    if root := os.environ.get(UNPACKED):
        (loader,) = Path(root, "usr/lib").glob("*-linux-gnu/ld-linux-*.so.*")
        words = [str(loader), "--library-path", str(loader.parent), f"{root}/usr/sbin/nginx"]
    else:
        words = [program("nginx")]
    told = subprocess.run([*words, "-V"], capture_output=True, text=True, check=True).stderr
    if MODULE not in told:
        why = f"NGINX has no HTTP/3 here, and {UNPACKED} names none that has"
        if os.environ.get("FROMSCRATCH_TEST_DOCKER"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    return words


@pytest.fixture(scope="module")
def servers() -> Iterator[Http3Servers]:
    words = nginx()
    with own_server() as server:
        place = server.directory
        ways = {"none": "", "wants": "ssl_verify_client on;"}
        for number, (case, staple) in enumerate(STAPLES.items()):
            (place / f"staple{number}").write_bytes(staple.der)
            ways[case] = f"ssl_stapling on; ssl_stapling_file {place}/staple{number};"
        with ExitStack() as held:  # all at once, so that no two are the same
            ports = {name: held.enter_context(silent_port()) for name in ways}
        blocks = [
            SERVER.format(host=HOST, port=ports[name], more=more, directory=place)
            for name, more in ways.items()
        ]
        (place / "chain.pem").write_bytes(pem_of(LEAF.certificate, BETWEEN.certificate))
        (place / "key.pem").write_bytes(LEAF.key_pem)
        (place / "root.pem").write_bytes(ROOT.pem)
        (place / "large").write_bytes(bytes(range(250)) * (SIZE // 250))
        http = NGINX.format(directory=place, host=HOST, port=server.port, servers="".join(blocks))
        start_nginx(server, http, words=words)
        yield Http3Servers(ports=ports)


@pytest.fixture
def curl(full: Curl, tmp_path: Path) -> Curl:
    """Believes whom `ROOT` vouches for, and speaks HTTP/3 alone."""
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    trusted = ("--cacert", str(tmp_path / "root.pem"))
    return replace(full, options=(*full.options, "--http3-only", *trusted))


def test_it_is_http_3(curl: Curl, servers: Http3Servers) -> None:
    done = curl("-w", " %{http_version}", servers.url("none"))
    assert (done.code, done.out) == (OK, "HTTP/3.0 NONE 3"), done.err


def test_a_large_body(curl: Curl, servers: Http3Servers) -> None:
    done = curl(servers.url("none", "/large"))
    assert (done.code, done.data) == (OK, bytes(range(250)) * (SIZE // 250))


@pytest.mark.parametrize("case", STAPLES)
def test_a_staple(curl: Curl, servers: Http3Servers, case: str) -> None:
    done = curl("--cert-status", servers.url(case))
    assert done.code == STAPLES[case].code, done.err
    assert curl(servers.url(case)).code == OK  # nobody asked


def test_without_a_staple(curl: Curl, servers: Http3Servers) -> None:
    assert curl("--cert-status", servers.url("none")).code == NO_STATUS


def test_a_client_s_certificate(curl: Curl, servers: Http3Servers, tmp_path: Path) -> None:
    stranger = Authority.make("Client", by=Authority.make("Root"), extensions=())
    assert "HTTP/3.0" not in curl(servers.url("wants")).out
    for client, told in ((CLIENT, "HTTP/3.0 SUCCESS"), (stranger, "400 The SSL certificate error")):
        own = tmp_path / "own.pem"
        own.write_bytes(client.key_pem + client.pem)
        done = curl("--cert", own, servers.url("wants"))
        assert (done.code, told in done.out) == (OK, True), done
