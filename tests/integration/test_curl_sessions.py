"""What curl does beyond a handshake: sessions that are resumed, new keys, renegotiation."""

import ssl
import subprocess
import time
from pathlib import Path

import pytest
from trustme import CA

from tests.integration.certificates import HOST, context_of
from tests.integration.real_server import program
from tests.integration.tls_servers import HEAD, counting, openssl_server

pytestmark = pytest.mark.builds


@pytest.fixture(params=["https", "full", "debian"])
def curl(request: pytest.FixtureRequest) -> Path:
    """Ours with either library, and Debian's as the measure."""
    if request.param == "debian":
        return Path(program("curl"))
    curls: dict[str, Path] = request.getfixturevalue("curls")
    return curls[request.param]


def run(curl: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [curl, "-qsS", "-m", "20", *words],
        capture_output=True,
        check=False,
        env={},
        timeout=60,
        text=True,
    )


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_second_connection_resumes_the_session(
    curl: Path, authority: CA, ca: str, version: ssl.TLSVersion
) -> None:
    context = context_of(authority.issue_cert(HOST), version, version)
    with counting(context) as server:
        url = f"https://{HOST}:{server.port}/"
        done = run(curl, "--cacert", ca, url, url, url)
        assert (done.returncode, done.stdout) == (0, "resuming" * 3)
        assert server.resumed == [False, True, True]
        done = run(curl, "--no-sessionid", "--cacert", ca, url, url)
        assert done.returncode == 0
        assert server.resumed[3:] == [False, False]


def leaf_of(authority: CA) -> bytes:
    return authority.issue_cert(HOST).private_key_and_cert_chain_pem.bytes()


def talk(
    curl: Path, url: str, ca: str, server: "subprocess.Popen[bytes]", command: bytes
) -> tuple[int, str, str]:
    """Two requests over one connection; in the midst of the first answer the server carries out a command."""
    with subprocess.Popen(
        [curl, "-qsS", "-m", "30", "--cacert", ca, url, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={},
        text=True,
    ) as client:
        assert server.stdin is not None
        assert server.stdout is not None
        for parts in ((HEAD + b"abc\n", command, b"xyz\n"), (HEAD + b"abc\nxyz\n",)):
            while b"GET /" not in server.stdout.readline():
                assert server.poll() is None
                assert client.poll() is None
            for part in parts:
                server.stdin.write(part)
                server.stdin.flush()
                time.sleep(0.5)  # s_server takes what comes at once for one text
        out, err = client.communicate(timeout=60)
    return client.returncode, out, err


@pytest.mark.parametrize("command", [b"k\n", b"K\n"], ids=["its own", "both"])
def test_new_keys_in_mid_transfer(
    curl: Path, authority: CA, ca: str, tmp_path: Path, command: bytes
) -> None:
    """KeyUpdate: the server's keys alone, and also ours, under which the next request comes."""
    for ciphers in ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
        options = ("-tls1_3", "-ciphersuites", ciphers)
        with openssl_server(leaf_of(authority), tmp_path, *options) as (url, server):
            code, out, err = talk(curl, url, ca, server, command)
        assert (code, out) == (0, "abc\nxyz\n" * 2), err


def test_renegotiation_in_mid_transfer(curl: Path, authority: CA, ca: str, tmp_path: Path) -> None:
    with openssl_server(leaf_of(authority), tmp_path, "-tls1_2") as (url, server):
        code, out, err = talk(curl, url, ca, server, b"r\n")
    assert (code, out) == (0, "abc\nxyz\n" * 2), err


@pytest.mark.parametrize(
    ("groups", "hellos"),
    [
        ((), 1),
        (("-groups", "X25519"), 1),
        (("-groups", "P-256:X25519"), 1),
        (("-groups", "P-256"), 2),
        (("-groups", "P-384"), 2),
        (("-groups", "P-521"), 2),
    ],
    ids=lambda value: "".join(value[1:]) or "default" if isinstance(value, tuple) else None,
)
@pytest.mark.parametrize("variant", ["https", "full"])
def test_groups_of_the_key_exchange(
    curls: dict[str, Path],
    variant: str,
    authority: CA,
    ca: str,
    tmp_path: Path,
    groups: tuple[str, ...],
    hellos: int,
) -> None:
    """What is offered first is what servers take by default: no second ClientHello is asked for."""
    options = ("-tls1_3", "-www", "-msg", *groups)
    with openssl_server(leaf_of(authority), tmp_path, *options) as (url, server):
        done = run(curls[variant], "--cacert", ca, url)
        server.kill()
        assert server.stdout is not None
        log = server.stdout.read()
    assert done.returncode == 0, done.stderr
    assert log.count(b", ClientHello") == hellos, log
