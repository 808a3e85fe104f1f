"""Settings: a flag wins over the environment, the environment over `fromscratch.toml`, that over the default."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from core.errors import FromscratchError, RecipeError, UsageError
from core.minisign import looks_secret
from core.suggest import suggestion

FILE = "fromscratch.toml"
PREFIX = "FROMSCRATCH_"

_Word = TypeVar("_Word", bound=str)


class Origin(StrEnum):
    """Where a setting came from."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = FILE
    DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One thing a user can set: ``--engine``, ``FROMSCRATCH_ENGINE``, ``engine = …``."""

    name: str
    help: str
    default: str = ""
    secret: bool = False
    """Never displayed."""

    def redacted(self, value: str) -> str:
        """The value as people may see it: no secret, no user and password of a URL."""
        if self.secret or (self.name == "key" and looks_secret(value)):
            return "set" if value else ""
        return re.sub(r"//[^/@\s]*@", "//***@", value)

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


SETTINGS = (
    Setting(name="engine", default="auto", help="where steps run: auto, docker, sandbox or host"),
    Setting(name="recipes", help="directories with more recipes, added to our own"),
    Setting(name="jobs", help="steps at a time; default: one per CPU core"),
    Setting(name="step_memory", help="MiB that one step may take; default: 8192"),
    Setting(name="step_processes", help="processes that one step may run; default: 1024"),
    Setting(name="step_disk", help="MiB of disk that one step may take; default: 16384"),
    Setting(name="step_minutes", help="minutes that one step may take; default: 60"),
    Setting(name="cache", help="the cache's directory; default: the user's cache directory"),
    Setting(
        name="builder_key",
        help="the secret key that signs what the cache remembers; default: in the user's state directory",
    ),
    Setting(
        name="trusted_builders",
        help="public keys whose results in a shared cache are believed too: files, or lines RW...",
    ),
    Setting(
        name="store",
        help="where results are shared with other machines: oci://HOST/REPO, s3://, gs:// or file:///DIRECTORY",
    ),
    Setting(
        name="cluster",
        help="the scheduler whose workers run steps: tls://HOST:8786; default: steps run here",
    ),
    Setting(
        name="cluster_keys",
        help="directory of the cluster's certificates; default: in the user's configuration",
    ),
    Setting(name="store_read_only", help="1: take results from the store, and put none there"),
    Setting(name="artifacts", help="where results go; default: artifacts/ of the project"),
    Setting(name="mirrors", help="private mirrors, tried first: URLs or templates"),
    Setting(name="debian_mirror", help="base URL of a Debian mirror; default: apt's own"),
    Setting(name="base_image", help="base of the builder image, as name@sha256:..."),
    Setting(name="offline", help="1: fetch nothing from the network"),
    Setting(name="source", help="images' source label; default: upstream's archive"),
    Setting(
        name="revision",
        help="the revision that provenance notes as claimed, beside the commit that git names",
    ),
    Setting(
        name="key",
        help="the secret key that signs releases: its file, - for standard input, or the key itself",
    ),
    Setting(name="key_password", help="that key's password, if it has one", secret=True),
    Setting(name="ca_file", help="certificates of authorities that registries may be signed by"),
    Setting(
        name="public_key",
        help="the public keys that releases must be signed by: files, or lines RW...",
    ),
    Setting(name="builder", help="who builds, as a URI in the provenance"),
    Setting(name="python", help="the Python that ./inv makes its environment with"),
    Setting(name="debug", help="1: show tracebacks"),
    Setting(name="test_docker", help="1: tests that need Docker fail without it"),
    Setting(
        name="test_containerd",
        help="socket of a Docker engine with containerd's image store, for tests",
    ),
    Setting(name="test_nginx", help="directory of an unpacked NGINX with HTTP/3, for tests"),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting's value and where it came from."""

    values: Mapping[str, tuple[str, Origin]] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        flags: Mapping[str, str | None],
        *,
        environment: Mapping[str, str] = os.environ,
        directory: Path | None = None,
    ) -> "Settings":
        """Resolve all settings. Raises RecipeError for unknown names in the file or the environment."""
        written = _read_file((directory or Path.cwd()) / FILE)
        _refuse_unknown(
            {name.removeprefix(PREFIX).lower() for name in environment if name.startswith(PREFIX)},
            where="the environment",
        )
        values: dict[str, tuple[str, Origin]] = {}
        for setting in SETTINGS:
            if value := flags.get(setting.name):
                values[setting.name] = (value, Origin.FLAG)
            elif value := environment.get(setting.variable):
                values[setting.name] = (value, Origin.ENVIRONMENT)
            elif setting.name in written:
                values[setting.name] = (written[setting.name], Origin.FILE)
            else:
                values[setting.name] = (setting.default, Origin.DEFAULT)
        return cls(values=values)

    def __getitem__(self, name: str) -> str:
        return self.values[name][0]

    def flag(self, name: str) -> bool:
        """A setting that is on or off."""
        return self[name].lower() not in {"", "0", "false", "no", "off"}

    def number(self, name: str, default: int) -> int:
        """A positive whole number. Raises UsageError for a flag, else RecipeError."""
        text = self[name]
        if not text:
            return default
        if not (text.isascii() and text.isdecimal()) or int(text) < 1:
            msg = f"'{name}' must be a whole number from 1, not '{text}'."
            raise self._wrong(name, msg)
        return int(text)

    def directories(self, name: str) -> tuple[Path, ...]:
        """Directories with commas or blanks between them; one whose name holds such is taken as it is."""
        text = self[name]
        whole = text and Path(text).expanduser().is_dir()
        words = [text] if whole else text.replace(",", " ").split()
        return tuple(Path(word).expanduser().absolute() for word in words)

    def choice(self, name: str, words: Iterable[_Word]) -> _Word:
        """One word out of a closed set. Raises UsageError for a flag, else RecipeError."""
        text, known = self[name], list(words)
        if text not in known:
            msg = f"Unknown {name} '{text}'.{suggestion(text, known)}"
            raise self._wrong(name, msg, next=f"choose one of: {', '.join(known)}")
        return known[known.index(text)]

    def _wrong(self, name: str, what: str, *, next: str = "") -> FromscratchError:
        origin = self.values[name][1]
        if origin is Origin.FLAG:
            return UsageError(what, next=next)
        return RecipeError(what, why=f"it was set by: {origin}", next=next)


def _read_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{path}: {error}"
        raise RecipeError(msg) from error
    _refuse_unknown(set(table), where=str(path))
    return {name: _text(value) for name, value in table.items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)


def _refuse_unknown(names: set[str], *, where: str) -> None:
    known = [setting.name for setting in SETTINGS]
    for name in sorted(names - set(known)):
        msg = f"Unknown setting '{name}' in {where}.{suggestion(name, known)}"
        raise RecipeError(msg, next=f"known: {', '.join(known)}")
