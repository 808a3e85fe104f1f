"""Policies as data: which rules count, and how much. Our own stand in `verify/policies/`, others in files of users.

As in auditwheel a policy has a name, and a file meets it or not (https://github.com/pypa/auditwheel#policies); here it
is a TOML file, which docs/verifying.md describes.
"""

from pathlib import Path
from typing import Final

from core.errors import UsageError
from core.suggest import suggestion
from recipes.load import Table
from recipes.model import Linkage
from verify.verdict import Needs, Policy, Severity

HERE: Final = Path(__file__).parent / "policies"
DEFAULT: Final = "static"
READABLE: Final = "readable-elf"
_OFF: Final = "off"
_SUFFIX: Final = ".toml"
_DEEPEST: Final = 8


def policy_names() -> tuple[str, ...]:
    """Return the names of our own policies, in alphabetical order."""
    return tuple(sorted(path.stem for path in HERE.glob(f"*{_SUFFIX}")))


def find_policy(name: str) -> Policy:
    """Return the policy called ``name``, or the one in the file ``name``, which ends with ``.toml``.

    Raises UsageError with a guess when there is none, and RecipeError, naming the file, when it is wrong.
    """
    if name.endswith(_SUFFIX) or "/" in name:
        if not Path(name).is_file():
            msg = f"There is no policy file '{name}'."
            raise UsageError(msg, next=f"name a TOML file, or one of: {', '.join(policy_names())}")
        return _read(Path(name), depth=0)
    return _own(name, depth=0)


def summaries() -> dict[str, str]:
    """Return what each of our own policies is for, by name."""
    return {
        name: Table.of(HERE / f"{name}{_SUFFIX}").take("summary", str) for name in policy_names()
    }


def _own(name: str, *, depth: int) -> Policy:
    known = policy_names()
    if name not in known:
        msg = f"Unknown policy '{name}'.{suggestion(name, known)}"
        raise UsageError(
            msg, next=f"choose one of: {', '.join(known)}, or name a file that ends with {_SUFFIX}"
        )
    return _read(HERE / f"{name}{_SUFFIX}", depth=depth)


def _read(path: Path, *, depth: int) -> Policy:
    table = Table.of(path)
    base = table.take("based-on", str, "")
    if depth == _DEEPEST:
        table.refuse(
            "'based-on' leads nowhere.", why="policies are based on each other in a circle"
        )
    try:
        under = _own(base, depth=depth + 1) if base else Policy()
    except UsageError as error:
        table.refuse(f"'based-on': {error.what}", next=error.next)
    table.take("summary", str)
    rules = table.table("rules") if "rules" in table.data else Table({}, f"{path}: rules")
    policy = Policy(
        name=path.stem,
        needs=table.choice("needs", Needs, under.needs),
        levels={**under.levels, **_levels(rules, check=path.parent != HERE)},
        linkage=table.choice("linkage", Linkage) if "linkage" in table.data else under.linkage,
        max_size=table.take("max-size", int) if "max-size" in table.data else under.max_size,
        packed=table.take("packed", bool) if "packed" in table.data else under.packed,
    )
    table.done()
    return policy


def _rule_names() -> list[str]:
    from verify.rules import RULES  # noqa: PLC0415 - a build whose verdicts are known reads no ELF

    return [rule.name for rule in RULES]


def _levels(table: Table, *, check: bool) -> dict[str, Severity | None]:
    words = {severity.value: severity for severity in Severity}
    found: dict[str, Severity | None] = {}
    known = _rule_names() if check else [*table.data]
    for name, word in table.data.items():
        if name not in known:
            table.refuse(
                f"'{name}' is no rule.{suggestion(name, known)}",
                next=f"known: {', '.join(known)}",
            )
        if word not in [*words, _OFF]:
            table.refuse(
                f"'{name}' cannot be {word!r}.", next=f"choose one of: error, warning, {_OFF}"
            )
        found[name] = words.get(word) if isinstance(word, str) else None
    if found.get(READABLE, Severity.ERROR) is not Severity.ERROR:
        table.refuse(
            f"'{READABLE}' is always an error.", why="what cannot be read cannot be judged"
        )
    return found
