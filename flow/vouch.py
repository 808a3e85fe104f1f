"""Who vouches for what a step made: this builder, because it made it, or others whose keys are trusted."""

from dataclasses import dataclass, field

from builders.outcome import Outcome
from builders.plan import Step
from builders.sources.cache import Statement
from flow.context import Context

ENOUGH = 2
"""Different keys that must have signed what was not made here: one machine that lies is found out by another."""


@dataclass(frozen=True, kw_only=True)
class Vouchers:
    """The builders who signed that a step made these very bytes."""

    here: bool
    """This builder did."""
    others: tuple[str, ...]
    """The other trusted builders' keys, by their ids, sorted."""

    def __bool__(self) -> bool:
        return self.here or len(self.others) >= ENOUGH

    def lacking(self, step: Step) -> str:
        """Why that is not enough to publish it."""
        if not self.others:
            return f"no trusted builder has signed for the step that makes it: {step.name}"
        return (
            f"only one trusted builder ({self.others[0]}) has signed for a step that makes it, "
            f"and it was not made here: {step.name}"
        )


@dataclass(frozen=True, kw_only=True)
class Registrar:
    """Looks up vouchers, each once. Thread-safe."""

    context: Context
    known: dict[str, Vouchers] = field(default_factory=dict)

    def vouchers(self, outcome: Outcome, *, all_of_them: bool = True) -> Vouchers:
        """Return who made the same; with less than ``all_of_them`` nobody else is asked for where this builder did."""
        name = f"{outcome.key} {outcome.output} {all_of_them}"
        if name not in self.known:
            self.known[name] = self._look(outcome, all_of_them=all_of_them)
        return self.known[name]

    def _look(self, outcome: Outcome, *, all_of_them: bool) -> Vouchers:
        cache = self.context.cache
        found = _found(cache.local.statements(outcome.key), outcome)
        own = self.context.builder_keys.own_point
        if cache is not cache.local and (all_of_them or own not in found):
            found |= _found(cache.statements(outcome.key), outcome)
        return Vouchers(
            here=bool(own) and own in found,
            others=tuple(sorted(name for point, name in found.items() if point != own)),
        )


def _found(statements: list[Statement], outcome: Outcome) -> dict[bytes, str]:
    """Keys by their points, of statements that say the same of what was made."""
    found: dict[bytes, str] = {}
    for statement in statements:
        said = Outcome.read(outcome.key, statement.value)
        if said and (said.output, said.files) == (outcome.output, outcome.files):
            found |= {signer.point: signer.name for signer in statement.signers}
    return found
