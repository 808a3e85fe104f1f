"""Verdicts and smoke runs, remembered by what was judged and by the judges' own code: a better check looks again."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from core.target import Target
from recipes.model import Product, Release
from verify.expectations import Expectations
from verify.smoke import Smoke

HERE = Path(__file__).parent


class Memory(Protocol):
    """Where results are kept, by the sha256 of what they depend on."""

    def get_action(self, key: str) -> dict[str, Any] | None:
        """Return what was put under ``key``, if it is undamaged."""

    def put_action(self, key: str, value: Mapping[str, object]) -> None:
        """Keep ``value``, whole or not at all."""


@dataclass(frozen=True, kw_only=True)
class Proofs:
    """What is known of finished files. Files are named by their sha256, as in the cache."""

    memory: Memory

    @cached_property
    def code(self) -> str:
        """sha256 over verify's own modules."""
        digest = hashlib.sha256()
        for path in sorted(HERE.glob("*.py")):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def verdict(
        self, file: Path, expectations: Expectations, *, unpacked: Path | None, original: Path
    ) -> dict[str, Any]:
        """Return ``{"ok": …, "findings": […]}`` for a file of the cache.

        A packed file is judged by what ``upx -d`` gave back (``unpacked``) first: that must load the
        same bytes as ``original``.
        """
        key = self._key(
            "verdict", [file.name, unpacked and unpacked.name, original.name, asdict(expectations)]
        )
        known = self.memory.get_action(key)
        if known is None:
            known = _judge(file, expectations, unpacked=unpacked, original=original)
            self.memory.put_action(key, known)
        # In one order, remembered or not: the manifest's bytes must not tell.
        findings = [
            {name: one[name] for name in ("rule", "severity", "message")}
            for one in known["findings"]
        ]
        return {"ok": known["ok"], "findings": findings}

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
        trials = [asdict(trial) for trial in product.recipe.smoke]
        promised = asdict(product.variant.expect) if product.variant.expect else None
        key = self._key(
            "smoke", [file.name, product.name, release.version, target, trials, promised]
        )
        known = self.memory.get_action(key)
        if known is not None:
            return Smoke(
                ran=known["ran"],
                ok=known["ok"],
                how=known["how"],
                failures=tuple(known.get("failures", ())),
            )
        result = run()
        if result.ran and result.ok and not result.skipped:
            self.memory.put_action(key, result.as_dict())
        return result

    def _key(self, what: str, facts: list[object]) -> str:
        text = json.dumps([what, self.code, *facts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _judge(
    file: Path, expectations: Expectations, *, unpacked: Path | None, original: Path
) -> dict[str, Any]:
    from verify.loadable import loadable_bytes_digest  # noqa: PLC0415 - a remembered verdict is cheap
    from verify.rules import Severity  # noqa: PLC0415
    from verify.verdict import Finding, judge_path  # noqa: PLC0415

    findings: list[Finding] = []
    if unpacked is not None:
        plain = Expectations(
            target=expectations.target, packed=False, build_paths=expectations.build_paths
        )
        findings += judge_path(unpacked, plain).findings
        if loadable_bytes_digest(unpacked) != loadable_bytes_digest(original):
            message = "upx -d does not give back what was packed"
            findings.append(Finding(rule="unpacks", severity=Severity.ERROR, message=message))
    findings += judge_path(file, expectations).findings
    return {
        "ok": not any(finding.severity is Severity.ERROR for finding in findings),
        "findings": [
            {"rule": one.rule, "severity": one.severity.value, "message": one.message}
            for one in findings
        ],
    }
