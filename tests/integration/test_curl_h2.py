"""What curl:h2 and curl:full can do beyond curl:https: HTTP/2 against nginx, every other protocol's first words."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest
from trustme import CA, KeyType

from builders.engines.scratch_root import PROGRAM, SandboxEnvironment
from commands.docs_curl import names_of
from core.scratch import RunResult
from recipes.load import find_product, load_recipes
from tests.built import Built
from tests.integration.certificates import context_of
from tests.integration.nginx import start_nginx
from tests.integration.real_server import HOST, Server, free_port, own_server, program
from tests.integration.scripted_server import (
    Speak,
    by_lines,
    ftp,
    mqtt,
    says_at_once,
    says_first,
    scripted_server,
    tftp,
)

pytestmark = [pytest.mark.builds, pytest.mark.sandbox]

Curl = Callable[..., RunResult]

NGINX = """
ssl_certificate {directory}/chain.pem; ssl_certificate_key {directory}/chain.pem;
server {{
    listen {host}:{port}; listen {host}:{tls} ssl http2; listen {host}:{clear} http2;
    location = /version {{ return 200 $server_protocol; }}
    location = /large {{ root {directory}; gzip on; gzip_types *; }}
}}
"""

VSFTPD = """
listen=YES
listen_address={host}
listen_port={port}
background=NO
run_as_launching_user=YES
seccomp_sandbox=NO
anonymous_enable=YES
no_anon_password=YES
anon_root={directory}/files
secure_chroot_dir={directory}/files
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
ssl_ciphers=HIGH
rsa_cert_file={directory}/chain.pem
rsa_private_key_file={directory}/chain.pem
"""

TALKS: Mapping[str, tuple[Speak, str, tuple[str, ...], str, str]] = {
    # What the server does, the URL's path, options, what curl prints, what the server has heard.
    "dict": (
        by_lines(
            "220 dict\r\n",
            {
                "CLIENT": "250 ok\r\n",
                "DEFINE": "150 1\r\n151 word db x\r\nmeaning\r\n.\r\n250 ok\r\n",
                "QUIT": "221 bye\r\n",
            },
        ),
        "d:word",
        (),
        "meaning",
        "DEFINE ! word",
    ),
    "ftp": (ftp("file", "content"), "file", (), "content", "RETR file"),
    "gopher": (says_at_once("menu"), "1/docs", (), "menu", "/docs"),
    "imap": (
        by_lines(
            "* OK\r\n",
            {
                "CAPABILITY": "* CAPABILITY IMAP4rev1\r\n{tag} OK\r\n",
                "LOGIN": "{tag} OK\r\n",
                "SELECT": "{tag} OK\r\n",
                "FETCH": "* 1 FETCH (BODY[] {4}\r\nmail)\r\n{tag} OK\r\n",
                "LOGOUT": "* BYE\r\n{tag} OK\r\n",
            },
            last="LOGOUT",
        ),
        "INBOX;MAILINDEX=1",
        ("-u", "user:secret"),
        "mail",
        "A002 LOGIN user secret",
    ),
    "mqtt": (mqtt("room", "warm"), "room", (), "warm", "room"),
    "pop3": (
        by_lines(
            "+OK\r\n",
            {
                "CAPA": "-ERR\r\n",
                "USER": "+OK\r\n",
                "PASS": "+OK\r\n",
                "RETR": "+OK\r\nmail\r\n.\r\n",
                "QUIT": "+OK\r\n",
            },
        ),
        "1",
        ("-u", "user:secret"),
        "mail",
        "PASS secret",
    ),
    "rtsp": (
        by_lines("", {"": "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 0\r\n\r\n"}),
        "film",
        ("-i",),
        "RTSP/1.0 200 OK",
        "CSeq: 1",
    ),
    "smtp": (
        by_lines(
            "220 x\r\n",
            {
                "EHLO": "250 x\r\n",
                "MAIL": "250 ok\r\n",
                "RCPT": "250 ok\r\n",
                "DATA": "354 go\r\n",
                ".": "250 ok\r\n",
                "QUIT": "221 bye\r\n",
            },
        ),
        "",
        ("--mail-from", "a@example.org", "--mail-rcpt", "b@example.org", "-T", "/mail"),
        "",
        "Subject: hello",
    ),
    "telnet": (says_first("login:"), "", (), "login:", ""),
}

SECURE = ("ftps", "gophers", "imaps", "mqtts", "pop3s", "smtps")


@pytest.fixture(scope="module")
def h2(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built.once(tmp_path_factory.mktemp("h2"), "curl:h2")


@pytest.fixture(params=["h2", "h2, packed", "full"])
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def curl(
    request: pytest.FixtureRequest,
    variant: str,
    empty_roots: SandboxEnvironment,
    ca: str,
    tmp_path: Path,
) -> Curl:
    """A curl in an empty root that holds the CA's certificate as /ca.pem and a letter as /mail."""
    mail = tmp_path / "mail"
    mail.write_text("Subject: hello\r\n\r\nok\r\n")
    files = {PurePosixPath("/ca.pem"): Path(ca), PurePosixPath("/mail"): mail}
    if variant == "full":
        files[PROGRAM] = request.getfixturevalue("curls")["full"]
    else:
        h2: Built = request.getfixturevalue("h2")
        files[PROGRAM] = h2.file("curl:h2", packed=variant != "h2")

    def run(*args: str, believe: bool = False) -> RunResult:
        trust = ["-k"] if believe else ["--cacert", "/ca.pem"]
        with empty_roots.open(files) as root:
            return root.run(["-sS", "-m", "10", *trust, *args], seconds=20)

    return run


@pytest.fixture
def nginx(authority: CA) -> Iterator[tuple[int, int, int]]:
    """The ports of plain HTTP, of HTTP/2 over TLS, and of HTTP/2 in the clear."""
    with own_server() as server:
        yield start(server, authority)


def start(server: Server, authority: CA) -> tuple[int, int, int]:
    tls, clear = free_port(), free_port()
    leaf = authority.issue_cert("localhost")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(server.directory / "chain.pem"))
    (server.directory / "large").write_bytes(b"x" * 500_000 + b"end")
    texts = {"directory": server.directory, "host": HOST, "port": server.port, "tls": tls}
    start_nginx(server, NGINX.format(**texts, clear=clear))
    return server.port, tls, clear


def test_it_says_of_itself_what_the_table_of_docs_has(curl: Curl, variant: str) -> None:
    said = dict(line.split(": ", 1) for line in curl("-V").stdout.splitlines() if ": " in line)
    names = {*said["Protocols"].split(), *said["Features"].split()}
    assert names == names_of(
        find_product(f"curl:{variant.partition(',')[0]}", load_recipes()).variant
    )


def test_http2_over_tls(curl: Curl, nginx: tuple[int, int, int]) -> None:
    url = f"https://localhost:{nginx[1]}/version"
    assert curl("-w", " %{http_version}", url)[:2] == (0, "HTTP/2.0 2")
    assert curl("--http1.1", url)[:2] == (0, "HTTP/1.1")


def test_http2_in_the_clear(curl: Curl, nginx: tuple[int, int, int]) -> None:
    assert curl(f"http://localhost:{nginx[0]}/version")[:2] == (0, "HTTP/1.1")
    url = f"http://localhost:{nginx[2]}/version"
    assert curl("--http2-prior-knowledge", url)[:2] == (0, "HTTP/2.0")


def test_many_large_bodies_in_one_connection(curl: Curl, nginx: tuple[int, int, int]) -> None:
    url = f"https://localhost:{nginx[1]}/large"
    ran = curl("-Z", "--compressed", "-w", "%{stderr}%{num_connects} ", *[url] * 5)
    assert ran.code == 0
    assert len(ran.stdout) == 5 * 500_003
    assert sorted(ran.stderr.split()) == ["0", "0", "0", "0", "1"]


@pytest.mark.parametrize("scheme", [*TALKS, *SECURE])
def test_other_protocols(curl: Curl, authority: CA, scheme: str) -> None:
    secure = scheme in SECURE
    speak, path, options, printed, heard = TALKS[scheme.removesuffix("s") if secure else scheme]
    context = context_of(authority.issue_cert("localhost")) if secure else None
    with scripted_server(speak, context) as talker:
        ran = curl(*options, f"{scheme}://localhost:{talker.port}/{path}")
    assert ran.code == 0, ran.stderr
    assert printed in ran.stdout
    assert not heard or heard in talker.heard


def test_tftp(curl: Curl) -> None:
    with tftp("content") as talker:
        assert curl(f"tftp://{HOST}:{talker.port}/file")[:2] == (0, "content")
    assert talker.heard == ["file"]


def test_an_upload_stops_at_the_servers_no(curl: Curl) -> None:
    refusing = by_lines("220 x\r\n", {"EHLO": "250 x\r\n", "MAIL": "550 no\r\n", "QUIT": "221\r\n"})
    with scripted_server(refusing) as talker:
        options = ("--mail-from", "a@example.org", "--mail-rcpt", "b@example.org", "-T", "/mail")
        assert curl(*options, f"smtp://localhost:{talker.port}").code == 55
    assert "DATA" not in talker.heard


@pytest.fixture
def vsftpd(authority: CA) -> Iterator[int]:
    """The port of a server that wants each data connection to resume the session: its default."""
    with own_server() as server:
        leaf = authority.issue_cert("localhost", key_type=KeyType.RSA)
        leaf.private_key_and_cert_chain_pem.write_to_path(str(server.directory / "chain.pem"))
        (server.directory / "files").mkdir()
        (server.directory / "files" / "file").write_text("content")
        configuration = VSFTPD.format(directory=server.directory, host=HOST, port=server.port)
        (server.directory / "conf").write_text(configuration.lstrip())
        for path in server.directory.iterdir():
            path.chmod(0o755 if path.is_dir() else 0o600)
            server.owns(path)
        server.start(program("vsftpd"), server.directory / "conf")
        server.listens()
        yield server.port


@pytest.mark.parametrize("believe", [False, True], ids=["checked", "unchecked"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_data_connection_resumes_the_session(
    curl: Curl, vsftpd: int, version: str, believe: bool
) -> None:
    url = f"ftp://localhost:{vsftpd}/file"
    words = ("--ssl-reqd", "--tls-max", version)
    assert curl(*words, url, url, url, believe=believe)[:2] == (0, "content" * 3)
