"""Is an image what is said about it? Blobs, signature, provenance, SBOMs, and the files inside its layers.

Others may attach what they like to an image: what counts is that one of each kind holds, and the rest is noted.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import PublishError
from core.signing import PublicKey
from core.target import Target
from publish.check.archive import FileInLayer, check_diff_ids, layer_files
from publish.check.claims import Claim, read_claim
from publish.check.findings import Check, CheckResult, VerifyFile
from publish.oci.attachment import Attachment
from publish.oci.compression import Compression
from publish.oci.layout import Descriptor, Layout
from publish.release.image import SIGNATURE
from publish.trust.comment import Comment, Wanted
from publish.trust.envelope import MEDIA_TYPE as ENVELOPE
from publish.trust.envelope import open_envelope
from publish.trust.sbom import MEDIA_TYPE as SBOM
from publish.trust.sbom import described, read_sbom
from publish.trust.spdx import MEDIA_TYPE as SPDX
from publish.trust.spdx import SUFFIX as SPDX_SUFFIX
from publish.trust.spdx import read_spdx, spdx_described
from verify.rules import verify_file

ANYTHING = Wanted()


def check_image(
    layout: Layout,
    attached: Sequence[Attachment],
    *,
    public_key: PublicKey | None = None,
    wanted: Wanted = ANYTHING,
    judge: VerifyFile = verify_file,
) -> CheckResult:
    """Check an image and what was attached to it; never raises for what is in them.

    What is ``wanted`` is held against the signature. Without ``public_key`` no signature is checked, and the result
    says so: keys do not come with images.
    """
    check = _ImageCheck(
        layout=layout, attached=tuple(attached), given=public_key, wanted=wanted, judge=judge
    )
    manifests: tuple[Descriptor, ...] = ()
    try:
        manifests = layout.manifests()
        for descriptor in layout.reachable():
            layout.check(descriptor)
            check.files.append(descriptor.digest)
    except PublishError as error:
        check.found(layout.reference, error.what)
    else:
        check.signature()
        check.provenance(manifests)
        for manifest in manifests:
            check.manifest(manifest)
    return check.result(layout.reference, check.files)


@dataclass(kw_only=True)
class _ImageCheck(Check):
    layout: Layout
    attached: tuple[Attachment, ...]
    wanted: Wanted = ANYTHING
    claim: Claim | None = None
    files: list[str] = field(default_factory=list)

    def of(self, subject: Descriptor, kind: str) -> list[Attachment]:
        """What of a kind was attached to ``subject``."""
        return [
            attachment
            for attachment in self.attached
            if attachment.artifact_type == kind and attachment.subject.digest == subject.digest
        ]

    def one_of(
        self, what: str, subject: Descriptor, kind: str, problem: Callable[[Attachment], str]
    ) -> None:
        """Look for an attachment of a kind that ``problem`` finds nothing wrong with.

        With a good one, the others are no more than somebody else's; without, each says why there is none.
        """
        attached = self.of(subject, kind)
        problems = [] if attached else ["is missing"]
        good = False
        for attachment in attached:
            try:
                wrong = problem(attachment)
            except PublishError as error:
                wrong = error.what
            if wrong:
                problems.append(wrong)
            good = good or not wrong
        for wrong in problems:
            if good:
                self.notes.append(f"another {what} does not hold: {wrong}")
            else:
                self.found(self.layout.reference, f"{what}: {wrong}")

    def signature(self) -> None:
        """Find a signature over the index's own bytes."""
        key = self.given
        if key is None:
            signed = bool(self.of(self.layout.index, SIGNATURE))
            state = "signed, but no public key was given" if signed else "not signed"
            self.notes.append(f"{state}: whose it is cannot be checked")
            if self.wanted:
                what = "its version and date cannot be checked without its signature and a key"
                self.found(self.layout.reference, what)
            return
        index = self.layout.blob(self.layout.index.digest).read_bytes()

        def problem(attachment: Attachment) -> str:
            text = key.verify(index, attachment.data.decode("utf-8", "replace"))
            comment = Comment.read(text)
            if not comment.names("image", self.layout.reference):
                return f"it was signed as something else: {text}"
            if wrong := comment.wrong(index):
                return f"it {wrong}"
            self.signer, self.about = key.name, comment
            return ""

        self.one_of("signature", self.layout.index, SIGNATURE, problem)
        if self.signer:
            for difference in self.about.unlike(self.wanted):
                self.found(self.layout.reference, difference)

    def provenance(self, manifests: Sequence[Descriptor]) -> None:
        """Find the statement about this image."""
        reference = self.layout.reference
        wanted = {reference: self.layout.index.digest} | {
            f"{reference}@{manifest.platform}": manifest.digest for manifest in manifests
        }

        def problem(attachment: Attachment) -> str:
            claim = read_claim(open_envelope(attachment.data, self.given).statement)
            named = {
                name: f"sha256:{sha256}"
                for name, sha256 in claim.subjects.items()
                if name == reference or "@" in name
            }
            if claim.image != reference or named != wanted:
                return "it is about another image"
            self.claim = claim
            return ""

        self.one_of("provenance", self.layout.index, ENVELOPE, problem)

    def manifest(self, manifest: Descriptor) -> None:
        """One platform: its SBOM, and the files in it."""
        name = f"{self.layout.reference}@{manifest.platform}"
        self._bills(name, manifest)
        if manifest.platform is None:
            self.found(name, "is for no platform")
            return
        try:
            (config, *layers) = self.layout.entries(manifest, "config", "layers")
            platform = self.layout.json(config)
            words = [platform.get(key) for key in ("os", "architecture", "variant")]
            if "/".join(str(word) for word in words if word) != manifest.platform.value:
                self.found(name, f"its config is for another platform: {words!r:.80}")
            tars = [
                Compression.of(it.media_type).unpack(self.layout.blob(it.digest).read_bytes())
                for it in layers
            ]
            for wrong in check_diff_ids(platform, tars):
                self.found(name, wrong)
            for tar in tars:
                for file in layer_files(tar):
                    self._file(f"{name}:{file.path}", file, manifest.platform)
        except (PublishError, OSError) as error:
            self.found(name, error.what if isinstance(error, PublishError) else str(error.strerror))

    def _bills(self, name: str, manifest: Descriptor) -> None:
        self._bill(f"SBOM of {name}", manifest, SBOM, lambda data: described(read_sbom(data)))
        # An image of before there were any has none, and its provenance names none.
        named = self.claim and any(sbom.endswith(SPDX_SUFFIX) for sbom in self.claim.sboms)
        if named or self.of(manifest, SPDX):
            self._bill(
                f"SPDX of {name}", manifest, SPDX, lambda data: spdx_described(read_spdx(data))
            )

    def _bill(
        self, title: str, manifest: Descriptor, kind: str, subject: Callable[[bytes], str]
    ) -> None:
        """One bill of materials; ``subject`` reads from it the sha256 of what it describes."""

        def problem(attachment: Attachment) -> str:
            if f"sha256:{subject(attachment.data)}" != manifest.digest:
                return "it describes another image"
            sha256 = attachment.layer.digest.partition(":")[2]
            if self.claim and sha256 not in self.claim.sboms.values():
                return "the provenance does not name it"
            return ""

        self.one_of(title, manifest, kind, problem)

    def _file(self, path: str, file: FileInLayer, platform: Target) -> None:
        self.files.append(path)
        subjects = self.claim.subjects if self.claim else {}
        names = [name for name, sha256 in subjects.items() if sha256 == file.sha256]
        if self.claim and not names:
            self.found(path, "is not in the provenance")
        data = bool(names) and all("#" in name for name in names)
        if data and not file.executable and not file.data.startswith(b"\x7fELF"):
            return
        with tempfile.TemporaryDirectory() as directory:
            copy = Path(directory) / "file"
            copy.write_bytes(file.data)
            self.verdict(path, copy, platform)
