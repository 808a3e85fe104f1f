"""What a step made: which bytes, where, and what that took."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from builders.engines.engine import Usage
from builders.plan import Step
from builders.side import SIDE, is_side
from builders.sources.entry import seconds_of
from builders.tree import tree_files
from core.errors import StepError
from core.files import SHA256

if TYPE_CHECKING:
    from builders.sources.shared import AnyCache

FEW = 4
"""A step that makes this many files or fewer made products: each is kept by itself."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a step made."""

    key: str
    output: str
    """sha256 of a tar (see `builders.tree`) in the cache."""
    files: Mapping[str, str]
    """Path below $OUT to sha256 of each file, which is in the cache by itself too; empty when there are many."""
    engine: str
    isolated: bool
    seconds: float
    cached: bool
    usage: Usage = field(default_factory=Usage)
    """What it took when it was made; nothing is known of what older versions of this program made."""

    @classmethod
    def read(cls, key: str, entry: Mapping[str, Any]) -> "Outcome | None":
        """Return what a cache remembers; None when it is of a shape that this version does not write."""
        output, files = entry.get("output"), entry.get("files")
        engine, isolated, usage = (
            entry.get(name, default)
            for name, default in (("engine", None), ("isolated", None), ("usage", {}))
        )
        if not (
            _is_digest(output)
            and isinstance(files, dict)
            and all(map(_is_digest, files.values()))
            and isinstance(engine, str)
            and isinstance(isolated, bool)
            and isinstance(usage, dict)
            and seconds_of(entry, -1.0) >= 0
        ):
            return None
        return cls(
            key=key,
            output=str(output),
            files=files,
            engine=engine,
            isolated=isolated,
            seconds=entry["seconds"],
            cached=True,
            usage=Usage.read(usage),
        )

    def entry(self, name: str) -> dict[str, object]:
        """What a cache remembers of it; ``name`` is the step's."""
        kept = asdict(self)
        del kept["key"], kept["cached"]
        return {"step": name, **kept}

    @property
    def blobs(self) -> tuple[str, ...]:
        """The sha256 of all that it consists of."""
        return (self.output, *self.files.values())

    def product(self, step: Step) -> str:
        """The sha256 of the one file that the step made, beside what lies beside it (see `builders.side`).

        Raises StepError when there is not exactly one.
        """
        files = {path: sha256 for path, sha256 in self.files.items() if not is_side(path)}
        if len(files) != 1:
            many = "nothing" if self.files else f"more than {FEW} files"
            msg = f"{step.name} made {', '.join(files) or many} where one file is expected."
            what = f"put one file into $OUT, what is beside it into $OUT/{SIDE}"
            raise StepError(msg, next=f"{what}: {step.recipe.script}")
        (sha256,) = files.values()
        return sha256

    def facts(self, step: Step) -> dict[str, object]:
        """What a trace says of it. A cached one took nothing now; ``then`` is what it took when it was made."""
        took = asdict(self.usage)
        return {
            "key": self.key,
            "cached": self.cached,
            "engine": self.engine,
            "isolated": self.isolated,
            "product": step.product,
            "target": step.target.value,
            "stage": step.stage.value,
            "needs": [need.name for _, need in step.needs],
            **(dict.fromkeys(took) if self.cached else took),
            **({"then": {"seconds": self.seconds, **took}} if self.cached else {}),
        }


def agrees(cache: "AnyCache", entry: Mapping[str, Any]) -> bool:
    """True when an action's result says of its files what its output holds; also when the output is not here."""
    outcome = Outcome.read("", entry)
    if outcome is None:
        return False
    output = cache.local.blob(outcome.output)
    if output is None:
        return True
    found = tree_files(output)
    return found is not None and dict(outcome.files) == (found if len(found) <= FEW else {})


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and SHA256.fullmatch(value) is not None
