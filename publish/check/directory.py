"""Is a release whole, signed, and what it says? Everything in it is taken to be hostile.

Sums, signature, bills of materials, provenance, verdicts and image archives, each held against the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import PublishError
from publish.check.archive import check_archive
from publish.check.claims import Claim, read_claim
from publish.check.findings import Checked, Verifier
from publish.check.scan import ARCHIVE, Inside
from publish.release.sums import (
    LARGEST,
    NAME,
    PROVENANCE,
    PUBLIC_KEY,
    SIGNATURE,
    read_sums,
)
from publish.trust.envelope import open_envelope
from publish.trust.sbom import SUFFIX, described, read_sbom
from publish.trust.signing import PublicKey
from verify.facts import Packing
from verify.rules import verify_file
from verify.verdict import Policy, Severity

LARGEST_JSON = 64 << 20
"""Bytes: a bill of materials has 10 kB, a line of provenance 5 kB."""


def check_release(
    directory: Path, *, public_key: PublicKey | None = None, judge: Verifier = verify_file
) -> Checked:
    """Check a release directory; never raises for what is in it.

    ``public_key`` is whom the caller believes; without one the key in the directory is used, which proves no more than
    that the release is whole, and the result says so. ``judge`` judges files, packed ones by what they unpack to.
    """
    check = _Check(directory=directory, given=public_key, judge=judge)
    check.look()
    check.sums()
    check.signature()
    check.provenance()
    for name in check.programs():
        check.program(name)
    for name in check.names(ARCHIVE):
        check.archive(name)
    for name in check.names(SUFFIX):
        if name.removesuffix(SUFFIX) not in check.programs():
            check.found(name, "describes a file that is not there")
    return Checked(
        label=str(directory),
        findings=tuple(dict.fromkeys(check.findings)),
        files=tuple(sorted(check.hashes)),
        signer=check.signer,
        pinned=public_key is not None and bool(check.signer),
        notes=tuple(check.notes),
    )


@dataclass(kw_only=True)
class _Check(Inside):
    """One check as it goes along."""

    given: PublicKey | None
    judge: Verifier
    claims: list[Claim] = field(default_factory=list)
    key: PublicKey | None = None
    signer: str = ""

    def sums(self) -> None:
        """Hold the list against what is there."""
        try:
            listed = read_sums(self.read(NAME, LARGEST))
        except PublishError as error:
            self.found(NAME, error.what)
            return
        for name in sorted(listed.keys() | self.hashes.keys() - {NAME, SIGNATURE}):
            if name not in listed:
                self.found(name, f"is not in {NAME}")
            elif name not in self.hashes:
                self.found(name, f"is in {NAME}, and is missing")
            elif listed[name] != self.hashes[name]:
                self.found(name, f"was changed: its sha256 is {self.hashes[name]}")

    def signature(self) -> None:
        """Find out whose key signed the list."""
        try:
            own = (
                PublicKey.parse(self.text(PUBLIC_KEY, 4096)) if PUBLIC_KEY in self.hashes else None
            )
        except PublishError as error:
            self.found(PUBLIC_KEY, error.what)
            own = None
        if self.given and own and own != self.given:
            self.found(
                PUBLIC_KEY, f"is the key {own.name}, not {self.given.name} which was asked for"
            )
        self.key = self.given or own
        if SIGNATURE not in self.hashes:
            if self.key:
                self.found(SIGNATURE, f"is missing: nobody can tell that {self.key.name} signed")
            else:
                self.notes.append("not signed: the sums prove that it is whole, not whose it is")
            return
        if self.key is None:
            self.found(PUBLIC_KEY, "is missing, and no public key was given")
            return
        try:
            comment = self.key.verify(self.read(NAME, LARGEST), self.text(SIGNATURE, 4096))
        except PublishError as error:
            self.found(SIGNATURE, error.what)
            return
        if f"file:{NAME}" not in comment.split("\t"):
            self.found(SIGNATURE, f"was made for another file: {comment}")
            return
        self.signer = self.key.name
        if not self.given:
            self.notes.append(
                f"signed by the key {self.signer}, which came with the release: "
                "compare it with one that you have from elsewhere"
            )

    def provenance(self) -> None:
        """Read every statement, and hold it against the files."""
        try:
            data = self.read(PROVENANCE, LARGEST_JSON)
        except PublishError as error:
            self.found(PROVENANCE, error.what)
            return
        for number, line in enumerate(data.splitlines(keepends=True), 1):
            try:
                opened = open_envelope(line, self.key)
                if opened.signed and self.key is None:
                    self.found(PROVENANCE, f"line {number}: signed by nobody that is known")
                self.claims.append(read_claim(opened.statement))
            except PublishError as error:
                self.found(PROVENANCE, f"line {number}: {error.what}")
        for claim in self.claims:
            for name, sha256 in claim.subjects.items():
                if ":" in name:  # an image, which is in no file of its own
                    continue
                if name not in self.hashes:
                    self.found(PROVENANCE, f"speaks of {name}, which is missing")
                elif self.hashes[name] != sha256:
                    self.found(name, "is not what the provenance speaks of")

    def about(self, name: str) -> list[Claim]:
        """The statements about a file, by name and by bytes."""
        sha256 = self.hashes[name]
        return [one for one in self.claims if one.subjects.get(name) == sha256]

    def program(self, name: str) -> None:
        """One file: provenance, bill, verdict."""
        claims = [one for one in self.about(name) if one.target]
        if len(claims) != 1:
            self.found(name, f"has {len(claims) or 'no'} provenance of its own, instead of one")
            return
        (claim,) = claims
        self._bill(name, claim.sboms)
        assert claim.target, "chosen so"
        if not name.removesuffix(".upx").endswith(f"-{claim.target.slug}"):
            self.found(
                name, f"is for {claim.target}, as its provenance says, and is called otherwise"
            )
        try:
            verdict = self.judge(self.directory / name, Policy(target=claim.target))
        except OSError as error:
            self.found(name, f"cannot be read: {error.strerror}")
            return
        for one in verdict.findings:
            if one.severity is Severity.ERROR:
                self.found(name, f"{one.rule}: {one.message}")
        packed = verdict.facts is not None and verdict.facts.packing is not Packing.NONE
        if verdict.facts is not None and (packed, name.endswith(".upx")) != (claim.packed,) * 2:
            self.found(name, "is packed or not, and its name or its provenance says otherwise")

    def _bill(self, name: str, promised: Mapping[str, str]) -> None:
        path = name + SUFFIX
        try:
            bill = read_sbom(self.read(path, LARGEST_JSON))
            if described(bill) != self.hashes[name]:
                self.found(path, f"describes other bytes than those of {name}")
            if promised.get(path) != self.hashes[path]:
                self.found(path, "is not the one that the provenance speaks of")
            for part in bill.get("components", []):
                directory = f"LICENSES/{part['name']}-{part.get('version', '')}/"
                if not any(one.startswith(directory) for one in self.hashes):
                    self.found(directory, f"is missing: {name} has {part['name']} in it")
        except PublishError as error:
            self.found(path, error.what)

    def archive(self, name: str) -> None:
        """One archive of an image: its own digests, and those of the statement about it."""
        claims = [one for one in self.about(name) if one.image]
        if len(claims) != 1:
            self.found(name, f"has {len(claims) or 'no'} provenance of its own, instead of one")
            return
        for what in check_archive(self.directory / name, claims[0]):
            self.found(name, what)
