"""Is a release whole, signed, and what it says? Everything in it is taken to be hostile.

Sums, signature, SBOMs, provenance, verdicts and image archives, each held against the others.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature

from core.errors import PublishError
from core.minisign import parse_signature
from core.signing import PublicKey
from core.target import Target
from publish.check.archive import check_archive
from publish.check.claims import Claim, read_claim
from publish.check.findings import CheckResult, VerifyFile
from publish.check.scan import ARCHIVE, Scan
from publish.release.sums import (
    BARE,
    COSIGNATURE,
    LARGEST,
    NAME,
    PROVENANCE,
    PUBLIC_KEY,
    PUBLIC_PEM,
    SIGNATURE,
    is_below,
    read_sums,
)
from publish.trust.comment import Comment, Wanted
from publish.trust.envelope import open_envelope
from publish.trust.licences import DIRECTORY
from publish.trust.sbom import SUFFIX, described, inside, read_sbom
from publish.trust.spdx import SUFFIX as SPDX_SUFFIX
from publish.trust.spdx import read_spdx, spdx_described
from recipes.model import PACKED
from verify.facts import Packing
from verify.rules import verify_file

ANYTHING = Wanted()

LARGEST_JSON = 64 << 20
"""Bytes: an SBOM has 10 kB, a line of provenance 5 kB."""


def check_release(
    directory: Path,
    *,
    public_key: PublicKey | None = None,
    further_keys: Sequence[PublicKey] = (),
    keys: int = 1,
    only: Sequence[str] = (),
    wanted: Wanted = ANYTHING,
    judge: VerifyFile = verify_file,
) -> CheckResult:
    """Check a release directory; never raises for what is in it.

    ``public_key`` is whom the caller believes, and ``further_keys``: ``keys`` of them must have signed. Without one the
    key in the directory is used, which proves no more than that the release is whole, and the result says so. ``only``
    names files that are looked at alone: the others need not be there. ``judge`` judges files, packed ones by what they
    unpack to.
    """
    given = [public_key, *further_keys] if public_key else [*further_keys]
    check = _DirectoryCheck(
        directory=directory,
        given=given[0] if given else None,
        keys=tuple(given),
        needed=keys,
        only=tuple(only),
        wanted=wanted,
        judge=judge,
    )
    check.scan()
    check.sums()
    check.signature()
    check.bare_signature()
    check.cosignatures()
    check.provenance()
    programs = check.programs()
    for name in programs:
        check.program(name)
    for name in check.names(ARCHIVE):
        check.archive(name)
    for suffix in (SUFFIX, SPDX_SUFFIX):
        for name in check.names(suffix):
            if name.removesuffix(suffix) not in programs and not only:
                check.found(name, "describes a file that is not there")
    return check.result(str(directory), sorted(check.hashes))


@dataclass(kw_only=True)
class _DirectoryCheck(Scan):
    keys: tuple[PublicKey, ...] = ()
    """All that the caller believes."""
    needed: int = 1
    """How many of them must have signed."""
    wanted: Wanted = ANYTHING
    claims: list[Claim] = field(default_factory=list)
    key: PublicKey | None = None

    def sums(self) -> None:
        """Hold the list against what is there."""
        try:
            listed = read_sums(self.read(NAME, LARGEST))
        except PublishError as error:
            self.found(NAME, error.what)
            return
        named = {name for name in listed if not self.only or name in self.only}
        unlisted = {NAME, SIGNATURE, BARE, *filter(COSIGNATURE.fullmatch, self.hashes)}
        for name in sorted({*named, *self.only} | self.hashes.keys() - unlisted):
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
        if self.keys and own and own not in self.keys:
            asked = " or ".join(key.name for key in self.keys)
            self.found(PUBLIC_KEY, f"is the key {own.name}, not {asked} which was asked for")
        self.key = self.given or own
        if own and PUBLIC_PEM in self.hashes and self._text(PUBLIC_PEM) != own.pem:
            self.found(PUBLIC_PEM, f"is not the key {own.name} of {PUBLIC_KEY}")
        if SIGNATURE not in self.hashes:
            if self.key:
                self.found(SIGNATURE, f"is missing: {self.key.name} may not have signed it")
            else:
                self.notes.append("not signed: the sums prove that it is whole, not whose it is")
                self._expect(Comment())
            return
        if self.key is None:
            self.found(PUBLIC_KEY, "is missing, and no public key was given")
            return
        self.key = self._signs(SIGNATURE) or self.key
        comment = self._verified(SIGNATURE, self.key)
        if comment is None:
            return
        self.signer = self.key.name
        self.about = comment
        self._expect(comment)
        if self.given:
            self.signers.append(self.signer)
        else:
            self.notes.append(
                f"signed by the key {self.signer}, which came with the release: "
                "compare it with one that you have from elsewhere"
            )

    def bare_signature(self) -> None:
        """Look at the signature that other tools read: a release has it that has the key for them."""
        if BARE not in self.hashes:
            if PUBLIC_PEM in self.hashes and not self.only:
                self.found(BARE, "is missing")
            return
        if self.key is None:
            self.found(BARE, "is of a key that is not known")
            return
        try:
            line = self.read(BARE, 4096)
            signature = base64.b64decode(line, validate=False)
            self.key.crypto().verify(signature, self.read(NAME, LARGEST))
            if base64.b64encode(signature) + b"\n" != line:
                self.found(BARE, "is not as we write them")
        except PublishError as error:
            self.found(BARE, error.what)
        except (ValueError, InvalidSignature):
            self.found(BARE, f"does not fit {NAME}, or is not of the key {self.key.name}")

    def _text(self, name: str) -> str:
        try:
            return self.text(name, 4096)
        except PublishError as error:
            return error.what

    def cosignatures(self) -> None:
        """Look at further signatures over the list, and count those of the keys that were asked for."""
        for name in filter(COSIGNATURE.fullmatch, sorted(self.hashes)):
            key = self._signs(name)
            if key is None:
                self.notes.append(f"{name} is of a key that nobody asked for")
            elif self._verified(name, key) is not None and key.name not in self.signers:
                self.signers.append(key.name)
        if self.keys and len(self.signers) < self.needed > 1:
            signers = " and ".join(self.signers) or "nobody"
            self.found(
                NAME, f"is signed by {signers}; {self.needed} of the keys asked for must sign it"
            )

    def _signs(self, name: str) -> PublicKey | None:
        """Return which of the keys that were asked for a signature says it is of."""
        try:
            number = parse_signature(self.text(name, 4096)).id
        except PublishError:
            return None
        return next((key for key in self.keys if key.id == number), None)

    def _verified(self, name: str, key: PublicKey) -> Comment | None:
        """Return what a signature over the list says, or write down why it does not hold."""
        try:
            data = self.read(NAME, LARGEST)
            text = key.verify(data, self.text(name, 4096))
        except PublishError as error:
            self.found(name, error.what)
            return None
        comment = Comment.read(text)
        if not comment.names("file", NAME):
            self.found(name, f"was made for another file: {text}")
            return None
        if wrong := comment.wrong(data):
            self.found(name, wrong)
            return None
        return comment

    def _expect(self, comment: Comment) -> None:
        for difference in comment.unlike(self.wanted):
            self.found(NAME, difference)

    def provenance(self) -> None:
        """Read every statement, and hold it against the files."""
        if self.only and PROVENANCE not in self.hashes:
            self.notes.append(f"{PROVENANCE} is not here: what it was made of is not checked")
            return
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
                    if not self.only:
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
        if self.only and PROVENANCE not in self.hashes:
            self._alone(name)
            return
        claim = self.only_claim(name, image=False)
        if claim is None or claim.target is None:
            return
        self._sbom(name, claim.sboms)
        self._spdx(name, claim.sboms)
        if not name.removesuffix(".upx").endswith(f"-{claim.target.slug}"):
            self.found(name, f"is for {claim.target} by its provenance, but not by its name")
        elif not claim.is_named(name):
            self.found(name, f"is {claim.file} by its provenance, but not by its name")
        try:
            facts = self.verdict(name, self.directory / name, claim.target).facts
        except OSError as error:
            self.found(name, f"cannot be read: {error.strerror}")
            return
        if facts is not None:
            packed = facts.packing is not Packing.NONE
            if (packed, name.endswith(".upx")) != (claim.packed,) * 2:
                self.found(name, "is packed or not, and its name or its provenance says otherwise")

    def _alone(self, name: str) -> None:
        """A file about which there is no more than its sum: its name says what it is for."""
        slug = name.removesuffix(PACKED)
        targets = [target for target in Target if slug.endswith(f"-{target.slug}")]
        if not targets:
            self.notes.append(f"{name} is no program by its name")
            return
        try:
            facts = self.verdict(name, self.directory / name, targets[0]).facts
        except OSError as error:
            self.found(name, f"cannot be read: {error.strerror}")
            return
        if facts and (facts.packing is not Packing.NONE) != name.endswith(PACKED):
            self.found(name, "is packed or not, and its name says otherwise")

    def _sbom(self, name: str, promised: Mapping[str, str]) -> None:
        path = name + SUFFIX
        if self.only and path not in self.hashes:
            self.notes.append(f"{path} is not here: what is in {name} is not checked")
            return
        sbom = self._bill(path, name, promised, read_sbom, described)
        if sbom is None:
            return
        for component, version in [] if self.only else inside(sbom):
            directory = f"{DIRECTORY}/{component}-{version}"
            if not any(is_below(path, directory) for path in self.hashes):
                self.found(f"{directory}/", f"is missing: {name} has {component} in it")

    def _spdx(self, name: str, promised: Mapping[str, str]) -> None:
        path = name + SPDX_SUFFIX
        if path not in self.hashes and (self.only or path not in promised):
            return  # one file alone, or a release of before there were any
        self._bill(path, name, promised, read_spdx, spdx_described)

    def _bill(
        self,
        path: str,
        name: str,
        promised: Mapping[str, str],
        read: Callable[[bytes], dict[str, Any]],
        subject: Callable[[dict[str, Any]], str],
    ) -> dict[str, Any] | None:
        """Read one bill of materials: is it of the file ``name``, and the one that was promised?"""
        try:
            document = read(self.read(path, LARGEST_JSON))
        except PublishError as error:
            self.found(path, error.what)
            return None
        if subject(document) != self.hashes[name]:
            self.found(path, f"describes other bytes than those of {name}")
        if promised.get(path) != self.hashes[path]:
            self.found(path, "is not the one that the provenance names")
        return document

    def archive(self, name: str) -> None:
        """One archive of an image: its own digests, and those of the statement about it."""
        if self.only and PROVENANCE not in self.hashes:
            return
        if claim := self.only_claim(name, image=True):
            for what in check_archive(self.directory / name, claim):
                self.found(name, what)
