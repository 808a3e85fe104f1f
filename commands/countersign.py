"""`inv key sign`: a second signature on a release, by somebody who has made the same files elsewhere."""

from functools import partial
from pathlib import Path

from commands.key import public_key
from core.errors import PublishError
from core.files import write_file
from core.minisign import parse_signature
from core.signing import SecretKey
from flow.context import Context
from flow.judge import judge_file
from flow.proof import prove
from publish.check.directory import check_release
from publish.check.scan import Scan
from publish.manifest import read_manifest
from publish.release.sums import NAME, SIGNATURE, cosignature_name, read_sums
from verify.rules import verify_file

WHY = "a second signature says that these bytes were made on this machine, too"


def countersign(context: Context, directory: Path, key: SecretKey | None) -> Path:
    """Sign a release's list once more, with another key; return the file with the signature.

    Every program in it must have been made here, by this tree's recipes, with the same bytes. What the first signature
    says of version and date is said again. Raises PublishError.
    """
    if key is None:
        msg = "There is no key to sign with."
        raise PublishError(msg, next="inv key new, then again")
    judge = partial(judge_file, context)
    checked = check_release(directory, public_key=public_key(context), judge=judge)
    if not checked:
        msg = f"The release is not good, and is not signed once more:\n{checked.text()}"
        raise PublishError(msg, next="sign it where it is whole")
    if not checked.signer or checked.signer == key.public.name:
        msg = f"{directory} is not signed by another key than {key.public.name}."
        raise PublishError(
            msg, next="sign it with a key of your own, once its publisher has signed it"
        )
    data = (directory / NAME).read_bytes()
    sums = read_sums(data)
    listed = [entry for entry in read_manifest(context.artifacts) if entry.sha256 in sums.values()]
    proofs = prove(context, listed, only_here=True)
    made = {proof.proven.sha256 for proof in proofs if proof.proven}
    scan = Scan(directory=directory, given=None, judge=verify_file, hashes=sums)
    refused = {proof.listed.sha256: proof.refused for proof in proofs}
    lines = [
        f"  {name}: {refused.get(sums[name], 'no file of artifacts/ has them')}"
        for name in scan.programs()
        if sums[name] not in made
    ]
    if lines:
        msg = "\n".join(["Not made here with these bytes:", *lines])
        raise PublishError(
            msg, why=WHY, next="inv build --target all --rebuild, from the same commit, then again"
        )
    # What it says holds: it was checked above.
    comment = parse_signature((directory / SIGNATURE).read_text("utf-8")).comment
    path = directory / cosignature_name(key.public.name)
    write_file(path, key.sign(data, comment=comment))
    path.chmod(0o644)
    return path
