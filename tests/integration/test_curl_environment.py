"""Environment variables of curl: docs/curl.md says which each variant reads; those work, and there are no others."""

import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from trustme import CA

from tests.anchors import ROOT
from tests.integration.certificates import HOST, context_of, rehash
from tests.integration.http_server import Servers, serving
from tests.integration.seeded_cache import SeededCache

pytestmark = pytest.mark.builds

VARIANTS = ["mini", "http", "https", "h2", "full"]
ASKED_FOR = re.compile(r'getenv\("([A-Za-z_]+)"\)|\b(?:envp|env_name|p) = "([A-Za-z]+_[A-Za-z]+)";')
LISTED = re.compile(r'^  \{ "([A-Z_]+)",', re.MULTILINE)
"""The places of .curlrc, in tool_findfile.c."""
MADE = {"ftp_proxy", "FTP_PROXY"}
"""curl puts these together from the scheme of the URL."""
WITH_TLS = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "https_proxy", "HTTPS_PROXY"}
"""These names stand in every file; without TLS they are never asked for."""


def documented() -> dict[str, set[str]]:
    """What the page says: the variants that read a variable, none if it is not read."""
    text = (ROOT / "docs/curl.md").read_text("utf-8").partition("\n## Environment\n")[2]
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", text.partition("\n## ")[0], re.MULTILINE)
    assert rows
    return {
        name: set(re.findall("`([a-z0-9]+)`", variants))
        for names, variants in rows
        for name in re.findall("`([^`]+)`", names)
    }


@pytest.fixture(scope="module")
def names(seeded_cache: SeededCache) -> set[str]:
    """All that upstream's source asks for, on any system and in any build."""
    found: set[str] = set()
    with tarfile.open(seeded_cache.source("curl")) as archive:
        for member in archive:
            directory = member.name.partition("/")[2]
            if not (directory.startswith(("lib/", "src/")) and directory.endswith(".c")):
                continue
            file = archive.extractfile(member)
            assert file is not None
            text = file.read().decode()
            found |= {one or other for one, other in ASKED_FOR.findall(text)}
            if directory.endswith("tool_findfile.c"):
                found |= set(LISTED.findall(text))
    assert {"CURL_HOME", "SSL_CERT_FILE", "no_proxy", "http_proxy", "ALL_PROXY"} <= found
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_page_names_what_a_variant_reads(
    curls: dict[str, Path], names: set[str], variant: str
) -> None:
    """A variable that a new release reads is in its file; so it has to be looked at, and written down."""
    data = curls[variant].read_bytes()
    table = documented()
    assert not {name for name in table if name not in names | MADE}
    inside = {name for name in names if re.search(rb"(?<![A-Za-z_])%b\0" % name.encode(), data)}
    said = {name for name, variants in table.items() if variant in variants}
    assert inside - (set() if "https_proxy" in said else WITH_TLS) <= said
    assert {name for name in said - MADE if name.encode() + b"\0" not in data} == set()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where variables have an effect."""

    directory: Path
    servers: Servers
    authority: CA
    ca: str
    plain: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plain", self.servers.plain().port)

    def file(self, name: str, text: str) -> str:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    @property
    def nobody(self) -> str:
        return f"http://127.0.0.1:{self.servers.closed()}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.plain}/status/200"

    @property
    def protected(self) -> str:
        return f"http://127.0.0.1:{self.plain}/basic"

    @property
    def secure(self) -> str:
        port = self.servers.tls(context_of(self.authority.issue_cert(HOST))).port
        return f"https://{HOST}:{port}/status/200"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A run without a variable, and how it ends with it."""

    words: tuple[str, ...]
    value: str
    before: int | str
    after: int | str
    others: Mapping[str, str] = field(default_factory=dict)


UNSUPPORTED, REFUSED, NO_GATEWAY, UNTRUSTED = 1, 7, 37, 60


def proxy(scheme: str) -> Callable[[Scene], Effect]:
    def make(scene: Scene) -> Effect:
        words = (scene.url,) if scheme == "http" else ("--cacert", scene.ca, scene.secure)
        return Effect(words=words, value=scene.nobody, before="ok", after=REFUSED)

    return make


def ftp_proxy(scene: Scene) -> Effect:
    url = scene.nobody.replace("http", "ftp") + "/status/200"
    value = f"http://127.0.0.1:{scene.plain}"
    return Effect(words=(url,), value=value, before=REFUSED, after="ok")


def gateway(value: Callable[[Scene, str], str]) -> Callable[[Scene], Effect]:
    """A host that has what is named by its hash."""

    def make(scene: Scene) -> Effect:
        url = "ipfs://bafybeidecnvkrygux6uoukouzps5ofkeevoqland7kopseiod6pzqvjg7u"
        words = ("-o", "/dev/null", "-w", "%{http_code}", url)
        at = value(scene, f"http://127.0.0.1:{scene.plain}")
        return Effect(words=words, value=at, before=NO_GATEWAY, after="200")

    return make


def no_proxy(scene: Scene) -> Effect:
    others = {"http_proxy": scene.nobody}
    return Effect(words=(scene.url,), value="127.0.0.1", before=REFUSED, after="ok", others=others)


def netrc(value: Callable[[str], str]) -> Callable[[Scene], Effect]:
    def make(scene: Scene) -> Effect:
        path = scene.file("home/.netrc", "machine 127.0.0.1 login user password secret\n")
        words = ("-s", "--netrc-optional", "-o", "/dev/null", "-w", "%{http_code}", scene.protected)
        return Effect(words=words, value=value(path), before="401", after="200")

    return make


def configured(name: str) -> Callable[[Scene], Effect]:
    """A file with options in the directory that the variable names."""

    def make(scene: Scene) -> Effect:
        path = scene.file(f"config/{name}", 'write-out = "read"\n')
        words = (scene.url,)
        return Effect(words=words, value=str(Path(path).parent), before="ok", after="okread")

    return make


def trust(file: Callable[[str], str]) -> Callable[[Scene], Effect]:
    return lambda scene: Effect(
        words=(scene.secure,), value=file(scene.ca), before=UNTRUSTED, after="ok"
    )


def hashed(ca: str) -> str:
    """Two directories, of which the second one is there."""
    rehash(Path(ca).parent)
    return f"/nowhere:{Path(ca).parent}"


EFFECTS: Mapping[str, Callable[[Scene], Effect]] = {
    "http_proxy": proxy("http"),
    "https_proxy": proxy("https"),
    "HTTPS_PROXY": proxy("https"),
    "all_proxy": proxy("http"),
    "ALL_PROXY": proxy("https"),
    "ftp_proxy": ftp_proxy,
    "FTP_PROXY": ftp_proxy,
    "IPFS_GATEWAY": gateway(lambda scene, url: url),
    "IPFS_PATH": gateway(lambda scene, url: str(Path(scene.file("ipfs/gateway", url)).parent)),
    "no_proxy": no_proxy,
    "NO_PROXY": no_proxy,
    "NETRC": netrc(str),
    "HOME": configured(".curlrc"),
    "CURL_HOME": configured(".curlrc"),
    "XDG_CONFIG_HOME": configured("curlrc"),
    "CURL_CA_BUNDLE": trust(str),
    "SSL_CERT_FILE": trust(str),
    "SSL_CERT_DIR": trust(hashed),
}
ELSEWHERE = {
    "COLUMNS": "the width of the progress bar, on a terminal: test_columns",
    "SSLKEYLOGFILE": "the secrets of sessions: test_sslkeylogfile_is_read_by_openssl_alone",
    "QLOGDIR": "a log of each QUIC connection: test_curl_http3.py",
    "VTE_VERSION": "whether an old terminal can show a link: it is on a terminal only",
}


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with serving() as servers:
        yield servers


@pytest.fixture
def scene(servers: Servers, authority: CA, ca: str, tmp_path: Path) -> Scene:
    return Scene(directory=tmp_path, servers=servers, authority=authority, ca=ca)


def run(
    program: Path, words: tuple[str, ...], variables: Mapping[str, str], scene: Scene
) -> int | str:
    """What is printed, or the exit code if that is not 0."""
    done = subprocess.run(
        [program, "-sS", "-m", "20", *words],
        capture_output=True,
        check=False,
        cwd=scene.directory,
        env=dict(variables),
        text=True,
        timeout=60,
    )
    return done.returncode or done.stdout


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", EFFECTS)
def test_it_is_honoured_where_it_is_read(
    curls: dict[str, Path], scene: Scene, variant: str, name: str
) -> None:
    effect = EFFECTS[name](scene)
    program = curls[variant]
    if variant in {"mini", "http"} and effect.words[-1].startswith(
        "https:"
    ):  # where TLS would matter
        words, value = (scene.url,), effect.value
        after = "ok" if name.lower() == "https_proxy" else effect.after
        effect = Effect(words=words, value=value, before="ok", after=after)
    reads = variant in documented()[name]
    if not reads and effect.words[-1].startswith(("ftp:", "ipfs:")):
        assert run(program, effect.words, {name: effect.value}, scene) == UNSUPPORTED
        return
    if not reads and "--netrc-optional" in effect.words:
        assert run(program, effect.words, {}, scene) == 2  # it does not know the option
        return
    before = effect.before
    if not reads and effect.others:  # nor does it read the others
        before = "ok"
    assert run(program, effect.words, effect.others, scene) == before
    after = run(program, effect.words, {**effect.others, name: effect.value}, scene)
    assert after == (effect.after if reads else before)


def test_every_one_that_is_read_has_an_effect() -> None:
    read = {name for name, variants in documented().items() if set(VARIANTS) & variants}
    assert read - set(ELSEWHERE) == set(EFFECTS)


def test_http_proxy_in_capitals_is_not_read(curls: dict[str, Path], scene: Scene) -> None:
    """A CGI program's client sets it, with a header called "Proxy"."""
    variables = {"HTTP_PROXY": scene.nobody}
    assert run(curls["https"], (scene.url,), variables, scene) == "ok"


@pytest.mark.parametrize(("variant", "written"), [("https", False), ("full", True)])
def test_sslkeylogfile_is_read_by_openssl_alone(
    curls: dict[str, Path], scene: Scene, variant: str, written: bool
) -> None:
    log = scene.directory / "keys"
    words = ("--cacert", scene.ca, scene.secure)
    assert run(curls[variant], words, {"SSLKEYLOGFILE": str(log)}, scene) == "ok"
    assert log.exists() == written
    assert not written or "CLIENT_TRAFFIC_SECRET_0 " in log.read_text("ascii")


@pytest.mark.parametrize("variant", ["http", "https", "h2", "full"])
def test_columns(curls: dict[str, Path], scene: Scene, variant: str) -> None:
    widths = [
        max(
            len(line)
            for line in subprocess.run(
                [curls[variant], "-q", "-#", "-o", "/dev/null", scene.url],
                capture_output=True,
                check=True,
                env={"COLUMNS": columns},
                text=True,
                timeout=60,
            ).stderr.split("\r")
        )
        for columns in ("40", "100")
    ]
    assert widths[0] < 60 < widths[1]
