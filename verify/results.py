"""Verdicts and smoke runs, cached by what was verified and by the code that verified it: a better check looks again."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from core.kinds import EntryKind
from verify.actions import Find, Judgement, Trial
from verify.smoke import Smoke
from verify.verdict import Finding


class ActionCache(Protocol):
    """Keeps results by the sha256 of what they depend on."""

    def get_action(self, key: str, *, kind: EntryKind) -> dict[str, Any] | None:
        """Return what was put under ``key``, if it is undamaged."""

    def put_action(self, key: str, value: Mapping[str, object], *, kind: EntryKind) -> None:
        """Keep ``value``, whole or not at all."""


class Elsewhere(Protocol):
    """Has things judged and tried out on other machines."""

    def judge(self, judgement: Judgement) -> None:
        """Have a file judged; what a trusted builder signed of it is in the cache then."""

    def try_out(self, trial: Trial) -> Smoke:
        """Have a program tried out, and return how that ended; a whole success is in the cache then."""


@dataclass(frozen=True, kw_only=True)
class ResultCache:
    """What is known of finished files. Files are named by their sha256, as in the cache."""

    cache: ActionCache
    judge_again: bool = False
    """Look at every file anew, here, whatever is known of it."""
    elsewhere: Elsewhere | None = None
    """Asked before anything is done here."""

    def verdict(self, judgement: Judgement, find: Find, *, own: tuple[str, ...]) -> dict[str, Any]:
        """Return ``{"ok": …, "findings": […]}`` for a file of the cache; ``find`` is asked when nothing is known."""
        found = None if self.judge_again else self._known(judgement)
        if found is None and self.elsewhere and not self.judge_again:
            self.elsewhere.judge(judgement)
            found = self._known(judgement)
        if found is None:
            made = judgement.perform(find, own=own)
            self.cache.put_action(judgement.key, made, kind=judgement.kind)
            found = made["ok"], [Finding(**finding) for finding in made["findings"]]
        ok, findings = found
        # In one order, cached or not: the manifest's bytes must not tell.
        return {"ok": ok, "findings": [asdict(finding) for finding in findings]}

    def known_smoke(self, trial: Trial) -> Smoke | None:
        """Return how a smoke run ended, if that is known."""
        known = self.cache.get_action(trial.key, kind=trial.kind)
        if known is not None and isinstance(known.get("how"), str):
            return Smoke(ran=True, ok=True, how=known["how"])
        return None

    def smoke(self, trial: Trial, run: Callable[[], Smoke]) -> Smoke:
        """Return how a smoke run ended, running it when that is not known.

        Only a whole success is remembered: a failure may have been the machine's (a timeout under load).
        """
        if known := self.known_smoke(trial):
            return known
        # Where nobody could run it, it may be possible here.
        if self.elsewhere and (result := self.elsewhere.try_out(trial)).ran:
            return result
        result = run()
        keep(self.cache, trial, result)
        return result

    def _known(self, judgement: Judgement) -> tuple[bool, list[Finding]] | None:
        known = self.cache.get_action(judgement.key, kind=judgement.kind)
        findings = _findings(known)
        return None if known is None or findings is None else (known["ok"], findings)


def keep(cache: ActionCache, trial: Trial, result: Smoke) -> bool:
    """Remember a smoke run, if it was a whole success; return whether it was."""
    whole = result.ran and result.ok and not result.skipped
    if whole:
        cache.put_action(trial.key, result.as_dict(), kind=trial.kind)
    return whole


def _findings(known: Mapping[str, Any] | None) -> list[Finding] | None:
    """What a cache remembers; None when it is of a shape that this version does not write."""
    try:
        return [Finding(**finding) for finding in known["findings"]] if known else None
    except (KeyError, TypeError, ValueError):
        return None
