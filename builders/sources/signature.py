"""Did upstream sign this? Asked when a pin is made or moved; a build checks the pin's sha256.

Sequoia judges keys and signatures. It does not accept keys that vouch for themselves with SHA-1, as those of before
2015 do, and cannot be told to; for these GnuPG's verifier is asked. That weakens nothing: which key it must be is
known from the recipe's fingerprint, not from what the key says of itself.
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pysequoia import Cert, Sig, verify

from builders.sources.client import MirrorError
from core.errors import MissingToolError, ProgramError, SourceError
from core.process import run_program

GPGV_SECONDS = 120.0


class BadSignatureError(SourceError):
    """A signature is there and is not good: nothing may be pinned until somebody has looked into it."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(
            f"The signature of {subject} is not good: {reason}.",
            why="a damaged or replaced file, or upstream signs with another key now",
            next="nothing was written; ask upstream which key signs, and change the recipe by hand if it is a new one",
        )


def check_signature(
    file: Path, signature: bytes, certificates: Path, fingerprint: str, *, subject: str
) -> datetime:
    """Return when ``file`` was signed by the key with ``fingerprint`` (40 hex digits) out of ``certificates``.

    Raises BadSignatureError for anything but a good signature of that very key, and MirrorError when it cannot be
    judged: there is no such key at hand, or no tool.
    """
    certificate = _certificate(certificates, fingerprint)
    try:
        read = Sig.from_bytes(signature)
    except (RuntimeError, ValueError) as error:
        reason = "it is no OpenPGP signature"
        raise BadSignatureError(subject, reason) from error
    if not _is_usable(certificate):
        return _ask_gpgv(file, signature, certificate, fingerprint, subject=subject)

    try:
        found = verify(file=str(file), store=lambda _: [certificate], signature=read)
    except (RuntimeError, ValueError) as error:
        raise BadSignatureError(subject, _reason(read, certificate)) from error
    if not any(valid.certificate.upper() == fingerprint for valid in found.valid_sigs):
        raise BadSignatureError(subject, _reason(read, certificate))
    return read.created or datetime.fromtimestamp(0, UTC)


def _certificate(path: Path, fingerprint: str) -> Cert:
    if not path.is_file():
        msg = f"there is no {path.name} beside the recipe to check its signature with"
        raise MirrorError(msg)
    try:
        found = Cert.split_file(str(path))
    except (RuntimeError, ValueError) as error:
        msg = f"{path} holds no OpenPGP key"
        raise MirrorError(msg) from error
    for certificate in found:
        if certificate.fingerprint.upper() == fingerprint:
            return certificate
    msg = f"{path} does not hold the key {fingerprint}"
    raise MirrorError(msg)


def _is_usable(certificate: Cert) -> bool:
    try:
        _ = certificate.expiration
    except RuntimeError:
        return False  # it has no binding signature that is trusted today
    return True


def _reason(signature: Sig, certificate: Cert) -> str:
    if certificate.is_revoked:
        return f"the key {certificate.fingerprint.upper()} was revoked"
    created, expires = signature.created, certificate.expiration
    if created and expires and created > expires:
        return (
            f"it was made on {created:%Y-%m-%d}, after the key in upstream.asc expired ({expires:%Y-%m-%d}); "
            "if upstream prolonged it, a newer copy of the key is needed"
        )
    by = (signature.issuer_fingerprint or signature.issuer_key_id or "").upper()
    return f"it is not of this file, or not by the recipe's key (it names {by or 'none'})"


def _ask_gpgv(
    file: Path, signature: bytes, certificate: Cert, fingerprint: str, *, subject: str
) -> datetime:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "keys").write_bytes(bytes(certificate))
        (directory / "signature").write_bytes(signature)
        words = ["gpgv", "--status-fd", "1", "--homedir", name, "--keyring", f"{name}/keys"]
        try:
            done = run_program(
                [*words, f"{name}/signature", str(file.absolute())],
                seconds=GPGV_SECONDS,
                package="gpgv",
                purpose=f"check a signature by {fingerprint}",
                check=False,
            )
        except MissingToolError as error:
            msg = f"the key {fingerprint} vouches for itself with SHA-1, and gpgv, which would accept that, is missing"
            raise MirrorError(msg) from error
        except ProgramError as error:
            raise MirrorError(error.what) from error
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("[GNUPG:] ")]
    status = {line[0]: line[1:] for line in lines if line}
    valid = status.get("VALIDSIG", [])
    # Field 10 is the primary key; GOODSIG is missing for what is expired or revoked.
    if done.returncode or "GOODSIG" not in status or len(valid) < 10 or valid[9] != fingerprint:
        reason = f"gpgv says {', '.join(sorted(status)) or 'nothing'}"
        raise BadSignatureError(subject, reason)
    return datetime.fromtimestamp(int(valid[2]), UTC)
