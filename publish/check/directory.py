"""Is a release whole, signed, and what it says? Everything in it is taken to be hostile.

Sums, signature, SBOMs, provenance, verdicts and image archives, each held against the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import PublishError
from core.signing import PublicKey
from publish.check.archive import check_archive
from publish.check.claims import Claim, read_claim
from publish.check.findings import CheckResult, VerifyFile
from publish.check.scan import ARCHIVE, Scan
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
from publish.trust.spdx import SUFFIX as SPDX_SUFFIX
from publish.trust.spdx import read_spdx, spdx_described
from verify.facts import Packing
from verify.rules import verify_file

LARGEST_JSON = 64 << 20
"""Bytes: an SBOM has 10 kB, a line of provenance 5 kB."""


def check_release(
    directory: Path, *, public_key: PublicKey | None = None, judge: VerifyFile = verify_file
) -> CheckResult:
    """Check a release directory; never raises for what is in it.

    ``public_key`` is whom the caller believes; without one the key in the directory is used, which proves no more than
    that the release is whole, and the result says so. ``judge`` judges files, packed ones by what they unpack to.
    """
    check = _DirectoryCheck(directory=directory, given=public_key, judge=judge)
    check.scan()
    check.sums()
    check.signature()
    check.provenance()
    programs = check.programs()
    for name in programs:
        check.program(name)
    for name in check.names(ARCHIVE):
        check.archive(name)
    for suffix in (SUFFIX, SPDX_SUFFIX):
        for name in check.names(suffix):
            if name.removesuffix(suffix) not in programs:
                check.found(name, "describes a file that is not there")
    return check.result(str(directory), sorted(check.hashes))


@dataclass(kw_only=True)
class _DirectoryCheck(Scan):
    claims: list[Claim] = field(default_factory=list)
    key: PublicKey | None = None

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
        own = None
        if PUBLIC_KEY in self.hashes:
            try:
                own = PublicKey.parse(self.text(PUBLIC_KEY, 4096))
            except PublishError as error:
                self.found(PUBLIC_KEY, error.what)
        if self.given and own and own != self.given:
            asked = self.given.name
            self.found(PUBLIC_KEY, f"is the key {own.name}, not {asked} which was asked for")
        self.key = self.given or own
        if SIGNATURE not in self.hashes:
            if self.key:
                self.found(SIGNATURE, f"is missing: {self.key.name} may not have signed it")
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
                    self.found(PROVENANCE, f"line {number}: signed by an unknown key")
                self.claims.append(read_claim(opened.statement))
            except PublishError as error:
                self.found(PROVENANCE, f"line {number}: {error.what}")
        for claim in self.claims:
            for name, sha256 in claim.subjects.items():
                if ":" in name:  # an image, which is in no file of its own
                    continue
                if name not in self.hashes:
                    self.found(PROVENANCE, f"names {name}, which is missing")
                elif self.hashes[name] != sha256:
                    self.found(name, "is not the file that the provenance names")

    def only_claim(self, name: str, *, image: bool) -> Claim | None:
        """The one statement about a file or an image, by name and by bytes."""
        sha256 = self.hashes[name]
        claims = [
            claim
            for claim in self.claims
            if claim.subjects.get(name) == sha256 and (claim.image if image else claim.target)
        ]
        if len(claims) == 1:
            return claims[0]
        self.found(name, f"has {len(claims) or 'no'} provenance statements of its own, not one")
        return None

    def program(self, name: str) -> None:
        """One file: provenance, SBOM, verdict."""
        claim = self.only_claim(name, image=False)
        if claim is None or claim.target is None:
            return
        self._sbom(name, claim.sboms)
        self._spdx(name, claim.sboms)
        if not name.removesuffix(".upx").endswith(f"-{claim.target.slug}"):
            self.found(name, f"is for {claim.target} by its provenance, but not by its name")
        try:
            facts = self.verdict(name, self.directory / name, claim.target).facts
        except OSError as error:
            self.found(name, f"cannot be read: {error.strerror}")
            return
        if facts is not None:
            packed = facts.packing is not Packing.NONE
            if (packed, name.endswith(".upx")) != (claim.packed,) * 2:
                self.found(name, "is packed or not, and its name or its provenance says otherwise")

    def _sbom(self, name: str, promised: Mapping[str, str]) -> None:
        path = name + SUFFIX
        try:
            sbom = read_sbom(self.read(path, LARGEST_JSON))
        except PublishError as error:
            self.found(path, error.what)
            return
        if described(sbom) != self.hashes[name]:
            self.found(path, f"describes other bytes than those of {name}")
        if promised.get(path) != self.hashes[path]:
            self.found(path, "is not the one that the provenance names")
        for component in sbom.get("components", []):
            directory = f"LICENSES/{component['name']}-{component.get('version', '')}/"
            if not any(path.startswith(directory) for path in self.hashes):
                self.found(directory, f"is missing: {name} has {component['name']} in it")

    def _spdx(self, name: str, promised: Mapping[str, str]) -> None:
        path = name + SPDX_SUFFIX
        if path not in self.hashes and path not in promised:
            return  # a release of before there were any
        try:
            document = read_spdx(self.read(path, LARGEST_JSON))
        except PublishError as error:
            self.found(path, error.what)
            return
        if spdx_described(document) != self.hashes[name]:
            self.found(path, f"describes other bytes than those of {name}")
        if promised.get(path) != self.hashes[path]:
            self.found(path, "is not the one that the provenance names")

    def archive(self, name: str) -> None:
        """One archive of an image: its own digests, and those of the statement about it."""
        if claim := self.only_claim(name, image=True):
            for what in check_archive(self.directory / name, claim):
                self.found(name, what)
