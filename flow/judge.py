"""Is one file good, whoever made it? A packed one is judged by what it unpacks to as well."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

from builders.plan import Step, needed_recipes, plan_step
from core.errors import EngineError
from core.files import hash_file
from core.process import Completed, run_program
from core.target import Target
from flow.context import Context
from recipes.model import Product, Recipe
from verify.facts import Depth, ElfFacts, Packing
from verify.packing import TRAILER_SIZE, read_pack_header
from verify.rights import NO_RIGHTS
from verify.rules import USUAL, Look, verify_file
from verify.verdict import Finding, Policy, Severity, Verdict

SECONDS: Final = 1800.0
"""How long UPX may take. To pack the largest of ours again takes a quick core a minute, and others many."""
FOREIGN: Final = (
    "is packed by something we cannot vouch for: what it unpacks to, packed again by the same method, is another file"
    " (a changed stub, another version of UPX or other options)"
)
METHODS: Final = {
    **dict.fromkeys((2, 3, 4), "--nrv2b"),
    **dict.fromkeys((5, 6, 7), "--nrv2d"),
    **dict.fromkeys((8, 9, 10), "--nrv2e"),
    14: "--lzma",
}
"""UPX's numbers for its methods, which differ by the order of bits: https://github.com/upx/upx/blob/v4.2.4/src/conf.h"""


def judge_file(context: Context, path: Path, policy: Policy, look: Look = USUAL) -> Verdict:
    """Judge one file, one that UPX packed by what it unpacks to as well when UPX can be had.

    The kernel runs the stub, not what ``upx -d`` gives back. So a packed file is good only when the unpacked one is,
    and packing that again by the same method gives the same bytes. What is wrong with the unpacked file is said with
    both names, and what protects it and the versions in it are the facts of the packed one.
    """
    verdict = verify_file(path, policy, look)
    if verdict.facts is None or verdict.facts.packing is not Packing.UPX:
        return verdict
    if look.depth < Depth.BYTES:
        # Whether it packs again to the same bytes is asked of all of them.
        return judge_file(context, path, policy, replace(look, depth=Depth.BYTES))
    with context.cache.scratch() as scratch:
        upx = _upx(context, scratch)
        if upx is None:
            return verdict
        packed, unpacked = scratch / "packed", scratch / "unpacked"
        shutil.copyfile(path, packed)
        packed.chmod(0o700)  # its mode is that of what is unpacked, and UPX packs nothing else
        try:
            _run(upx, "unpack what is packed", "-d", packed, unpacked)
        except EngineError:
            return verdict  # it says that nobody could look inside
        plain = replace(policy, packed=False, max_size=None)
        inside = verify_file(unpacked, plain, replace(look, rights=NO_RIGHTS))
        doubt = _doubt(upx, packed, unpacked, verdict.facts.sha256)
    findings = [
        replace(finding, message=f"{path.name}, unpacked: {finding.message}")
        for finding in inside.findings
    ]
    if doubt:
        findings.append(Finding(rule="packed-contents", severity=Severity.ERROR, message=doubt))
    outside = verify_file(path, replace(policy, unpacked_verified=True), look)
    if outside.facts is None or outside.facts.sha256 != verdict.facts.sha256:
        return verdict  # it is another file by now: what is said of the first one holds
    facts = _with_inner(outside.facts, inside.facts)
    return replace(outside, facts=facts, findings=(*outside.findings, *findings))


def _with_inner(packed: ElfFacts, inside: ElfFacts | None) -> ElfFacts:
    """Return the facts of a packed file, with what a reviewer asks of the program and not of what unpacks it."""
    if inside is None:
        return packed
    about = packed.about
    if about and inside.about:
        about = replace(about, versions=inside.about.versions, comment=inside.about.comment)
    return replace(packed, protection=inside.protection, about=about)


def _doubt(upx: Path, packed: Path, unpacked: Path, sha256: str) -> str:
    """Pack an unpacked file as its pack header says that it was packed; return what keeps us from vouching for it.

    UPX chooses a filter itself, and the header says which it was; who packed may have chosen another one.
    """
    with packed.open("rb") as file:
        file.seek(-min(TRAILER_SIZE, packed.stat().st_size), os.SEEK_END)
        header = read_pack_header(file.read())
    method = METHODS.get(header.method) if header else None
    if header is None or method is None:
        return FOREIGN
    level = "--best" if header.level > 9 else f"-{header.level}"
    chosen = f"--filter={header.filter:#04x}" if header.filter else "--no-filter"
    again = unpacked.with_name("again")
    for words in ((level, method), (level, method, chosen)):
        again.unlink(missing_ok=True)
        try:
            done = _run(upx, "pack what was unpacked", *words, unpacked, again, check=False)
        except EngineError as error:
            return f"cannot tell whether it packs again to the same bytes: {error.what}"
        if done.returncode == 0 and hash_file(again) == sha256:
            return ""
    return FOREIGN


def _run(upx: Path, purpose: str, *words: str | Path, check: bool = True) -> Completed:
    """Run UPX; the last two ``words`` are the file that it reads and the one that it writes."""
    *options, source, made = map(str, words)
    command = [str(upx), "-q", *options, "-o", made, source]
    return run_program(command, seconds=SECONDS, package="upx-ucl", purpose=purpose, check=check)


def _upx(context: Context, scratch: Path) -> Path | None:
    """Return UPX: the one that was built here, made to run in ``scratch``, else the machine's."""
    for step in _steps(context, context.recipes["upx"]):
        outcome = context.builder().look_up_whole(step)
        if outcome and (blob := context.cache.blob(outcome.product(step))):
            upx = scratch / "upx"
            shutil.copyfile(blob, upx)
            upx.chmod(0o755)
            return upx
    found = shutil.which("upx")
    return Path(found) if found else None


def _steps(context: Context, tool: Recipe) -> Iterator[Step]:
    """Yield every way to build a tool: with each release of it and of what it needs, newest first."""
    variant, native = tool.variants[0], Target.native()
    parts = needed_recipes([Product(recipe=tool, variant=variant)], context.recipes, pack=False)
    for releases in product(*(part.releases for part in parts)):
        chosen = {part.name: release for part, release in zip(parts, releases, strict=True)}
        yield plan_step(
            tool, variant, native, recipes=context.recipes, releases=chosen, native=native
        )
