"""Is an image what is said about it? Blobs, signature, provenance, bills, and the files inside its layers.

Others may attach what they like to an image: what counts is that one of each kind holds, and the rest is told.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import PublishError
from core.target import Target
from publish.check.archive import InLayer, layer_files
from publish.check.claims import Claim, read_claim
from publish.check.findings import Checked, Finding, Verifier
from publish.oci.attachment import Attachment
from publish.oci.layout import LAYER, Descriptor, Layout
from publish.release.image import SIGNATURE
from publish.trust.envelope import MEDIA_TYPE as ENVELOPE
from publish.trust.envelope import open_envelope
from publish.trust.sbom import MEDIA_TYPE as SBOM
from publish.trust.sbom import described, read_sbom
from publish.trust.signing import PublicKey
from verify.rules import verify_file
from verify.verdict import Policy, Severity


def check_image(
    layout: Layout,
    attached: Sequence[Attachment],
    *,
    public_key: PublicKey | None = None,
    judge: Verifier = verify_file,
) -> Checked:
    """Check an image and what was attached to it; never raises for what is in them.

    Without ``public_key`` no signature is checked, and the result says so: keys do not come with images.
    """
    check = _Check(layout=layout, attached=tuple(attached), key=public_key, judge=judge)
    manifests: tuple[Descriptor, ...] = ()
    try:
        manifests = layout.manifests()
        for one in layout.reachable():
            layout.check(one)
            check.files.append(one.digest)
    except PublishError as error:
        check.found(layout.reference, error.what)
    else:
        check.signature()
        check.provenance(manifests)
        for one in manifests:
            check.manifest(one)
    return Checked(
        label=layout.reference,
        findings=tuple(dict.fromkeys(check.findings)),
        files=tuple(check.files),
        signer=check.signer,
        pinned=public_key is not None and bool(check.signer),
        notes=tuple(check.notes),
    )


@dataclass(kw_only=True)
class _Check:
    """One check as it goes along."""

    layout: Layout
    attached: tuple[Attachment, ...]
    key: PublicKey | None
    judge: Verifier
    claim: Claim | None = None
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    signer: str = ""

    def found(self, path: str, what: str) -> None:
        """Write a finding down."""
        self.findings.append(Finding(path=path, what=what))

    def of(self, subject: Descriptor, kind: str) -> list[Attachment]:
        """What of a kind was attached to ``subject``."""
        return [
            one
            for one in self.attached
            if one.artifact_type == kind and one.subject.digest == subject.digest
        ]

    def signature(self) -> None:
        """Find a signature over the index's own bytes."""
        ones = self.of(self.layout.index, SIGNATURE)
        if self.key is None:
            said = "signed, but no public key was given" if ones else "not signed"
            self.notes.append(f"{said}: nobody can tell whose it is")
            return
        index = self.layout.blob(self.layout.index.digest).read_bytes()
        troubles = [] if ones else ["nobody signed it"]
        for one in ones:
            try:
                comment = self.key.verify(index, one.data.decode("utf-8", "replace"))
            except PublishError as error:
                troubles.append(error.what)
                continue
            if f"image:{self.layout.reference}" in comment.split("\t"):
                self.signer = self.key.name
            else:
                troubles.append(f"it was signed as something else: {comment}")
        self._settle("signature", troubles, good=bool(self.signer))

    def provenance(self, manifests: Sequence[Descriptor]) -> None:
        """Find the statement about this image."""
        wanted = {self.layout.reference: self.layout.index.digest} | {
            f"{self.layout.reference}@{one.platform}": one.digest for one in manifests
        }
        ones = self.of(self.layout.index, ENVELOPE)
        troubles = [] if ones else ["there is none"]
        for one in ones:
            try:
                opened = open_envelope(one.data, self.key)
                claim = read_claim(opened.statement)
            except PublishError as error:
                troubles.append(error.what)
                continue
            said = {
                name: f"sha256:{sha256}"
                for name, sha256 in claim.subjects.items()
                if name == self.layout.reference or "@" in name
            }
            if claim.image == self.layout.reference and said == wanted:
                self.claim = claim
            else:
                troubles.append("it speaks of another image")
        self._settle("provenance", troubles, good=self.claim is not None)

    def manifest(self, manifest: Descriptor) -> None:
        """One platform: its bill, and the files in it."""
        name = f"{self.layout.reference}@{manifest.platform}"
        self._bill(name, manifest)
        if manifest.platform is None:
            self.found(name, "is for no platform")
            return
        try:
            (config, *layers) = self.layout.entries(manifest, "config", "layers")
            platform = self.layout.json(config)
            words = [platform.get(key) for key in ("os", "architecture", "variant")]
            if "/".join(str(word) for word in words if word) != manifest.platform.value:
                self.found(name, f"its config is for another platform: {words!r:.80}")
            for layer in layers:
                if layer.media_type != LAYER:
                    self.found(name, f"has a layer of another kind: {layer.media_type[:80]}")
                    continue
                for file in layer_files(self.layout.blob(layer.digest).read_bytes()):
                    self._file(f"{name}:{file.path}", file, manifest.platform)
        except (PublishError, OSError) as error:
            self.found(name, error.what if isinstance(error, PublishError) else str(error.strerror))

    def _bill(self, name: str, manifest: Descriptor) -> None:
        ones = self.of(manifest, SBOM)
        troubles = [] if ones else ["there is none"]
        good = False
        for one in ones:
            try:
                bill = read_sbom(one.data)
            except PublishError as error:
                troubles.append(error.what)
                continue
            if f"sha256:{described(bill)}" != manifest.digest:
                troubles.append("it describes another image")
            elif self.claim and one.layer.digest.partition(":")[2] not in self.claim.sboms.values():
                troubles.append("the provenance does not speak of it")
            else:
                good = True
        self._settle(f"bill of materials of {name}", troubles, good=good)

    def _file(self, path: str, file: InLayer, platform: Target) -> None:
        self.files.append(path)
        names = [
            name
            for name, sha256 in (self.claim.subjects.items() if self.claim else ())
            if sha256 == file.sha256
        ]
        if self.claim and not names:
            self.found(path, "is nothing that the provenance speaks of")
        data = bool(names) and all("#" in name for name in names)
        if data and not file.executable and not file.data.startswith(b"\x7fELF"):
            return
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory) / "file"
            place.write_bytes(file.data)
            verdict = self.judge(place, Policy(target=platform))
        for one in verdict.findings:
            if one.severity is Severity.ERROR:
                self.found(path, f"{one.rule}: {one.message}")

    def _settle(self, what: str, troubles: Sequence[str], *, good: bool) -> None:
        """With a good one, the others are no more than somebody else's; without, each says why there is none."""
        for trouble in troubles:
            if good:
                self.notes.append(f"another {what} does not hold: {trouble}")
            else:
                self.found(self.layout.reference, f"{what}: {trouble}")
