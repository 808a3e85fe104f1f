"""Every option of curl's tool, in every variant: one that a variant cannot honour is unknown to it."""

import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from commands.docs_curl import unserved_options
from recipes.load import load_recipes
from recipes.model import Recipe
from tests.anchors import ROOT
from tests.built import Built
from tests.integration.http_server import serving
from tests.integration.seeded_cache import CURLS, SeededCache

pytestmark = pytest.mark.builds

ROW = re.compile(r'^ +\{"([a-z0-9.-]+)" *, *(ARG_[A-Z|_]+), *\'(.)\',\s+C_\w+\}', re.MULTILINE)
UNKNOWN = 2
SOURCE = "src/tool_getparam.c"

CLOSED = "127.0.0.1:1"
PROXIES = ("preproxy", "proxy", "proxy1.0", "socks4", "socks4a", "socks5", "socks5-hostname")

VALUES = {
    **dict.fromkeys(PROXIES, CLOSED),
    "config": "/dev/null",
    "connect-to": f"::{CLOSED}",
    "continue-at": "-",
    "create-file-mode": "0600",
    "doh-url": f"https://{CLOSED}/",
    "form": "name=text",
    "form-string": "name=text",
    "ftp-method": "nocwd",
    "ftp-port": "-",
    "ftp-ssl-ccc-mode": "active",
    "header": "Name: text",
    "help": "tls",
    "interface": "lo",
    "ip-tos": "CS1",
    "local-port": "40000-50000",
    "proto": "=http",
    "proto-default": "http",
    "proto-redir": "=http",
    "proxy-header": "Name: text",
    "range": "0-1",
    "rate": "5/s",
    "request": "GET",
    "resolve": f"name:1:{CLOSED.partition(':')[0]}",
    "tls-max": "1.3",
    "upload-flags": "seen",
    "url": CLOSED,
    "variable": "name=text",
}
"""What an option takes that does not take "1"."""

ACCEPTED = {
    0: "done",
    3: "what it takes is no URL",
    6: "what it takes is no host",
    7: "nobody listens",
    26: "the file that it takes is empty",
    97: "nobody is a proxy there",
    77: "the file that it takes has no certificate",
}
"""How a run against nobody may end."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """A row of the tool's table."""

    name: str
    letter: str
    takes_value: bool
    can_be_negated: bool

    @property
    def words(self) -> list[str]:
        """The option, with something that it takes."""
        value = [VALUES.get(self.name, "1")] if self.takes_value else []
        first = [CLOSED] if self.name == "next" else []
        return [*first, f"--{self.name}", *value]


@pytest.fixture(scope="module")
def options(seeded_cache: SeededCache) -> list[Option]:
    """All that upstream's source has."""
    with tarfile.open(seeded_cache.source("curl")) as archive:
        top = archive.getnames()[0].partition("/")[0]
        file = archive.extractfile(f"{top}/{SOURCE}")
        assert file is not None
        text = file.read().decode()
    table = text[text.index("struct LongShort aliases[]") :].partition("\n};")[0]
    table = re.sub(r"^#ifdef (DEBUGBUILD|USE_WATT32)\n.*?^#endif\n", "", table, flags=re.M | re.S)
    found = [
        Option(
            name=name,
            letter=letter.strip(),
            takes_value=any(word in kind for word in ("STRG", "FILE", "UNUM", "SECS")),
            can_be_negated="BOOL" in kind,
        )
        for name, kind, letter in ROW.findall(table)
    ]
    assert len(found) == table.count('{"') > 250
    return found


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipes(ROOT / "recipes")["curl"]


COMPLAINTS = ("is unknown", "does not support", "ignoring", "deprecated", "disabled")


def unserved(recipe: Recipe, variant: str) -> set[str]:
    """What a variant does not know."""
    return set(unserved_options(recipe, next(v for v in recipe.variants if v.name == variant)))


@pytest.fixture(params=[product.partition(":")[2] for product in CURLS])
def variant(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A variant, and where nobody listens."""

    program: Path
    directory: Path
    closed: int

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it, in a directory that it may fill."""
        url = f"http://127.0.0.1:{self.closed}/"
        return subprocess.run(
            [self.program, "-q", "-S", *words, url],
            cwd=self.directory,
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def tool(built: Built, variant: str, tmp_path: Path) -> Iterator[Tool]:
    (tmp_path / "1").write_bytes(b"")
    with serving() as servers:
        program = built.file(f"curl:{variant}")
        yield Tool(program=program, directory=tmp_path, closed=servers.closed())


def test_an_option_that_cannot_be_honoured_is_unknown(
    tool: Tool, options: list[Option], recipe: Recipe, variant: str
) -> None:
    gone = unserved(recipe, variant)
    rows = [option for option in options if option.name in gone]
    assert {option.name for option in rows} == gone
    for option in rows:
        spellings = [[f"--{option.name}", "1"]]
        spellings += [[f"-{option.letter}", "1"]] if option.letter else []
        spellings += [[f"--no-{option.name}"]] if option.can_be_negated else []
        for words in spellings:
            done = tool(*words)
            assert (done.returncode, done.stdout) == (UNKNOWN, ""), words
            assert f"option {words[0]}: is unknown" in done.stderr, words


def test_no_other_option_is_missing(
    tool: Tool, options: list[Option], recipe: Recipe, variant: str
) -> None:
    gone = unserved(recipe, variant)
    for option in options:
        if option.name in gone:
            continue
        done = tool(*option.words)
        for complaint in COMPLAINTS:
            assert complaint not in done.stderr, (option.name, done.stderr)
        assert done.returncode in ACCEPTED, (option.name, done.returncode, done.stderr)


def test_the_help_is_of_what_there_is(
    built: Built, options: list[Option], recipe: Recipe, variant: str
) -> None:
    done = subprocess.run(
        [built.file(f"curl:{variant}"), "--help", "all"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    listed = set(re.findall(r"^ *(?:-.,)? +--([a-z0-9.-]+)", done.stdout, re.MULTILINE))
    listed = {name.removeprefix("no-") for name in listed}
    assert listed
    assert not listed & unserved(recipe, variant)
    assert listed <= {option.name for option in options}
