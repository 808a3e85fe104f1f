"""A verdict or a smoke run as data: all that whoever judges or tries out is told. Files are named by their sha256."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from core.files import SHA256
from core.kinds import EntryKind
from core.target import Target
from recipes.model import Linkage, Product, RecipeExpectations, Release, SmokeTest
from verify.verdict import Finding, Needs, Policy, Severity

if TYPE_CHECKING:
    from core.scratch import SmokeEnvironment
    from verify.servers import SmokeServers
    from verify.smoke import Smoke

LARGEST: Final = 1 << 20
"""Bytes: a policy with every rule, or a recipe with hundreds of smoke runs, has a tenth."""

Find = Callable[[str], Path]
"""Has a file with these bytes on this machine."""


class NoProofError(ValueError):
    """What was to be read is neither a verdict nor a smoke run that a client of ours asks for."""


@cache
def code() -> str:
    """sha256 over verify's own modules: what other code found out is not known to this one."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Is a file what its policy says? A packed one is judged by what ``upx -d`` gave back first."""

    kind: ClassVar = EntryKind.VERDICT
    file: str
    unpacked: str | None
    """What ``upx -d`` gave back; it must load the same bytes as ``original``."""
    original: str
    policy: Policy
    """Names no directory of this machine: who judges adds its own."""

    @property
    def key(self) -> str:
        """What the verdict is kept under."""
        return _key("verdict", [self.file, self.unpacked, self.original, asdict(self.policy)])

    @property
    def inputs(self) -> tuple[str, ...]:
        """The sha256 of every file that is looked at."""
        return tuple(dict.fromkeys(filter(None, (self.file, self.unpacked, self.original))))

    def json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def read(cls, text: str) -> "Judgement":
        """Undo `json`. Raises NoProofError."""
        table = _fields(_loaded(text), cls)
        try:
            policy = _policy(table["policy"])
        except (ValueError, TypeError, AttributeError) as error:
            msg = f"its policy is none: {error}"
            raise NoProofError(msg) from error
        unpacked = None if table["unpacked"] is None else _digest(table["unpacked"])
        return cls(
            file=_digest(table["file"]),
            unpacked=unpacked,
            original=_digest(table["original"]),
            policy=policy,
        )

    def perform(self, find: Find, *, own: tuple[str, ...]) -> dict[str, Any]:
        """Judge; return ``{"ok": …, "findings": […]}``. ``own`` are this machine's own directories."""
        from verify.loadable import loadable_bytes_digest  # noqa: PLC0415 - a known one is cheap
        from verify.rules import verify_file  # noqa: PLC0415

        policy = replace(self.policy, build_paths=(*self.policy.build_paths, *own))
        findings: list[Finding] = []
        if self.unpacked is not None:
            # Of a packed file, what is inside must be as the policy says; form and size are those of the packed one.
            plain = replace(
                policy, linkage=None, max_size=None, packed=False, unpacked_verified=False
            )
            unpacked = find(self.unpacked)
            findings += verify_file(unpacked, plain).findings
            if loadable_bytes_digest(unpacked) != loadable_bytes_digest(find(self.original)):
                message = "upx -d does not give back what was packed"
                findings.append(Finding(rule="unpacks", severity=Severity.ERROR, message=message))
        findings += verify_file(find(self.file), policy).findings
        return {
            "ok": not any(finding.severity is Severity.ERROR for finding in findings),
            "findings": [asdict(finding) for finding in findings],
        }


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Does a program do what its recipe promises, where nothing else is?"""

    kind: ClassVar = EntryKind.SMOKE
    file: str
    product: str
    """``curl:http``."""
    version: str
    target: Target
    tests: tuple[SmokeTest, ...]
    expect: RecipeExpectations | None

    @classmethod
    def of(cls, file: str, product: Product, release: Release, target: Target) -> "Trial":
        return cls(
            file=file,
            product=product.name,
            version=release.version,
            target=target,
            tests=product.recipe.smoke,
            expect=product.variant.expect,
        )

    @property
    def key(self) -> str:
        """What the run is kept under."""
        promised = asdict(self.expect) if self.expect else None
        tests = [asdict(test) for test in self.tests]
        return _key("smoke", [self.file, self.product, self.version, self.target, tests, promised])

    @property
    def inputs(self) -> tuple[str, ...]:
        """The sha256 of every file that is looked at."""
        return (self.file,)

    def json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def read(cls, text: str) -> "Trial":
        """Undo `json`. Raises NoProofError."""
        table = _fields(_loaded(text), cls)
        try:
            expect, tests = table["expect"], table["tests"]
            trial = cls(
                file=_digest(table["file"]),
                product=_text(table["product"]),
                version=_text(table["version"]),
                target=Target(table["target"]),
                tests=tuple(_test(_fields(test, SmokeTest)) for test in tests),
                expect=None if expect is None else _expect(_fields(expect, RecipeExpectations)),
            )
        except (ValueError, TypeError) as error:
            msg = f"it is no smoke run: {error}"
            raise NoProofError(msg) from error
        if not trial.program.isprintable() or "/" in trial.program or trial.program in {"", ".."}:
            msg = f"'{trial.product}' is no product"
            raise NoProofError(msg)
        return trial

    @property
    def program(self) -> str:
        """What the program is called: as in an image, it may look at its own name, as busybox does."""
        return self.product.partition(":")[0]

    @property
    def variant(self) -> str:
        return self.product.partition(":")[2]

    def perform(
        self, file: Path, environment: "SmokeEnvironment", servers: "SmokeServers"
    ) -> "Smoke":
        """Try the program out, whose bytes are in ``file``."""
        from verify.smoke import smoke  # noqa: PLC0415 - a known one is cheap

        return smoke(file, self, environment, servers)


Proof = Judgement | Trial


def _key(what: str, facts: list[object]) -> str:
    text = json.dumps([what, code(), *facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _loaded(text: str) -> object:
    try:
        return json.loads(text) if len(text) <= LARGEST else None
    except (ValueError, RecursionError) as error:
        msg = "it is no JSON"
        raise NoProofError(msg) from error


def _fields(table: object, kind: type[Any]) -> dict[str, Any]:
    """Return a table that has all fields of ``kind``, and no others."""
    if not isinstance(table, dict) or table.keys() != {field.name for field in fields(kind)}:
        msg = f"it is no {kind.__name__}"
        raise NoProofError(msg)
    return table


def _policy(table: object) -> Policy:
    found = _fields(table, Policy)
    levels: Mapping[str, str | None] = found["levels"]
    numbers = (found["max_size"],)
    if not all(number is None or type(number) is int for number in numbers):
        msg = "a size is no number"
        raise ValueError(msg)
    if not (found["packed"] in {True, False, None} and found["unpacked_verified"] in {True, False}):
        msg = "a truth is none"
        raise ValueError(msg)
    return Policy(
        name=_text(found["name"]),
        needs=Needs(found["needs"]),
        levels={
            _text(rule): None if level is None else Severity(level)
            for rule, level in levels.items()
        },
        target=None if found["target"] is None else Target(found["target"]),
        linkage=None if found["linkage"] is None else Linkage(found["linkage"]),
        max_size=found["max_size"],
        packed=found["packed"],
        unpacked_verified=found["unpacked_verified"],
        build_paths=_texts(found["build_paths"]),
    )


def _test(found: Mapping[str, Any]) -> SmokeTest:
    if type(found["code"]) is not int:
        msg = "an exit code is no number"
        raise ValueError(msg)
    return SmokeTest(
        args=_texts(found["args"]),
        code=found["code"],
        stdout=_text(found["stdout"]),
        variants=_texts(found["variants"]),
    )


def _expect(found: Mapping[str, Any]) -> RecipeExpectations:
    if type(found["max_size"]) is not int:
        msg = "a size is no number"
        raise ValueError(msg)
    return RecipeExpectations(
        linkage=Linkage(found["linkage"]),
        max_size=found["max_size"],
        protocols=_texts(found["protocols"]),
        features=_texts(found["features"]),
        forbidden=_texts(found["forbidden"]),
    )


def _digest(text: object) -> str:
    if not isinstance(text, str) or not SHA256.fullmatch(text):
        msg = f"{text!r} is no sha256"
        raise NoProofError(msg)
    return text


def _text(text: object) -> str:
    if not isinstance(text, str) or "\0" in text:
        msg = f"{text!r} is no text"
        raise ValueError(msg)
    return text


def _texts(found: object) -> tuple[str, ...]:
    if not isinstance(found, list):
        msg = f"{found!r} is no list"
        raise ValueError(msg)
    return tuple(map(_text, found))
