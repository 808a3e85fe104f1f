"""`SHA256SUMS`: the list of everything in a release, in the one form that ``sha256sum -c`` and we both read."""

import re
from collections.abc import Mapping

from core.errors import PublishError

NAME = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.minisig"
PUBLIC_KEY = "minisign.pub"
BARE = "SHA256SUMS.sig"
"""The same key's bare signature over the list, in base64: what ``cosign verify-blob`` and OpenSSL read."""
PUBLIC_PEM = "cosign.pub"
"""The same key as they read it."""
PROVENANCE = "provenance.intoto.jsonl"

COSIGNATURE = re.compile(r"SHA256SUMS\.([0-9A-F]{1,16})\.minisig")
"""A further signature over the list, by the key with this id."""

BETWEEN = "--"
"""Stands in a flat release where a path has a slash."""

LARGEST = 4 << 20
"""Bytes: a list of forty thousand files."""

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def is_plain(name: str) -> bool:
    """Return whether a relative path stays below its directory, and needs no escapes in a list."""
    words = name.split("/")
    odd = any(ord(letter) < 32 or letter in "\\\x7f" for letter in name)
    return not odd and not {"", ".", ".."} & set(words) and name.isprintable()


def flat_name(path: str) -> str:
    """Return the name of a file in a flat release: what GitHub and GitLab keep as it is.

    https://docs.github.com/en/rest/releases/assets#upload-a-release-asset: other letters become dots there.
    """
    return re.sub(r"[^0-9A-Za-z._+-]", "_", path.replace("/", BETWEEN)).strip(".")


def is_below(name: str, directory: str) -> bool:
    """Return whether a file of a release is in ``directory``, in a flat release as in any other."""
    return name.startswith((f"{directory}/", f"{flat_name(directory)}{BETWEEN}"))


def cosignature_name(key: str) -> str:
    """Return the file with the further signature of the key called ``key``."""
    return f"{NAME}.{key}.minisig"


def write_sums(sums: Mapping[str, str]) -> bytes:
    """Return the list for sha256 by path, sorted. Raises PublishError for a path that cannot be listed."""
    for name in sums:
        if not is_plain(name):
            msg = f"{name!r} cannot be the name of a file in a release."
            raise PublishError(msg)
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


def read_sums(data: bytes) -> dict[str, str]:
    """Return sha256 by path. Raises PublishError unless the list is exactly as `write_sums` writes it."""
    sums: dict[str, str] = {}
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        msg = f"{NAME} is not text."
        raise PublishError(msg) from error
    for number, line in enumerate(lines[:-1], 1):
        found = _LINE.fullmatch(line)
        if not found or not is_plain(found[2]):
            msg = f"{NAME}, line {number}: {line[:120]!r} is not the sum of a file of a release."
            raise PublishError(msg)
        sums[found[2]] = found[1]
    if write_sums(sums) != data:
        msg = f"{NAME} is not in order: a line is missing its end, is there twice, or is out of place."
        raise PublishError(msg)
    return sums
