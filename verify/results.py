"""Verdicts and smoke runs, cached by what was verified and by the code that verified it: a better check looks again."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from core.kinds import EntryKind
from core.target import Target
from recipes.model import Product, Release
from verify.smoke import Smoke
from verify.verdict import Finding, Policy, Severity


class ActionCache(Protocol):
    """Keeps results by the sha256 of what they depend on."""

    def get_action(self, key: str, *, kind: EntryKind) -> dict[str, Any] | None:
        """Return what was put under ``key``, if it is undamaged."""

    def put_action(self, key: str, value: Mapping[str, object], *, kind: EntryKind) -> None:
        """Keep ``value``, whole or not at all."""


@dataclass(frozen=True, kw_only=True)
class ResultCache:
    """What is known of finished files. Files are named by their sha256, as in the cache."""

    cache: ActionCache
    judge_again: bool = False
    """Look at every file anew, whatever is known of it."""

    @cached_property
    def code(self) -> str:
        """sha256 over verify's own modules."""
        digest = hashlib.sha256()
        for path in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def verdict(
        self,
        file: Path,
        policy: Policy,
        *,
        unpacked: str | None,
        original: str,
        find: Callable[[str], Path],
    ) -> dict[str, Any]:
        """Return ``{"ok": …, "findings": […]}`` for a file of the cache.

        A packed file is verified by what ``upx -d`` gave back (``unpacked``) first: that must load the
        same bytes as ``original``. Both are named by their sha256, and looked for by ``find`` when nothing is known.
        """
        key = self._key("verdict", [file.name, unpacked, original, asdict(policy)])
        known = None if self.judge_again else self.cache.get_action(key, kind=EntryKind.VERDICT)
        findings = _findings(known)
        if known is None or findings is None:
            inside = find(unpacked) if unpacked else None
            known = _verify(file, policy, unpacked=inside, original=find(original))
            self.cache.put_action(key, known, kind=EntryKind.VERDICT)
            findings = [Finding(**finding) for finding in known["findings"]]
        # In one order, cached or not: the manifest's bytes must not tell.
        return {"ok": known["ok"], "findings": [asdict(finding) for finding in findings]}

    def smoke(
        self,
        file: Path,
        product: Product,
        release: Release,
        target: Target,
        run: Callable[[], Smoke],
    ) -> Smoke:
        """Return how a smoke run ended, running it when that is not known.

        Only a whole success is remembered: a failure may have been the machine's (a timeout under load).
        """
        tests = [asdict(test) for test in product.recipe.smoke]
        promised = asdict(product.variant.expect) if product.variant.expect else None
        key = self._key(
            "smoke", [file.name, product.name, release.version, target, tests, promised]
        )
        known = self.cache.get_action(key, kind=EntryKind.SMOKE)
        if known is not None and isinstance(known.get("how"), str):
            return Smoke(ran=True, ok=True, how=known["how"])
        result = run()
        if result.ran and result.ok and not result.skipped:
            self.cache.put_action(key, result.as_dict(), kind=EntryKind.SMOKE)
        return result

    def _key(self, what: str, facts: list[object]) -> str:
        text = json.dumps([what, self.code, *facts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _findings(known: Mapping[str, Any] | None) -> list[Finding] | None:
    """What a cache remembers; None when it is of a shape that this version does not write."""
    try:
        return [Finding(**finding) for finding in known["findings"]] if known else None
    except (KeyError, TypeError, ValueError):
        return None


def _verify(file: Path, policy: Policy, *, unpacked: Path | None, original: Path) -> dict[str, Any]:
    from verify.loadable import loadable_bytes_digest  # noqa: PLC0415 - a cached verdict is cheap
    from verify.rules import verify_file  # noqa: PLC0415

    findings: list[Finding] = []
    if unpacked is not None:
        # Of a packed file, what is inside must be as the policy says; its form and size are those of the packed one.
        plain = replace(policy, linkage=None, max_size=None, packed=False, unpacked_verified=False)
        findings += verify_file(unpacked, plain).findings
        if loadable_bytes_digest(unpacked) != loadable_bytes_digest(original):
            message = "upx -d does not give back what was packed"
            findings.append(Finding(rule="unpacks", severity=Severity.ERROR, message=message))
    findings += verify_file(file, policy).findings
    return {
        "ok": not any(finding.severity is Severity.ERROR for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }
