"""One source from one HTTP server, resumed where an earlier try or run broke off."""

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from builders.sources.client import FailureKind, MirrorClient, MirrorError
from core.files import disk_errors
from core.http import Response, number_in
from core.progress import Progress
from core.retry import ClientOptions, Fault
from recipes.model import Source

PAGE = re.compile(rb"(?i)(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|script)\b")
ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".whl")
PORTAL = "answers with a web page instead of the file (captive portal, login or error page?)"


@dataclass(frozen=True, kw_only=True)
class PartialFile:
    """A file that grows, and from where: only the same URL with the same validator may go on."""

    path: Path

    @property
    def data(self) -> Path:
        """The bytes so far."""
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def _origin(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def size(self) -> int:
        with disk_errors(self.data):
            return self.data.stat().st_size if self.data.exists() else 0

    def came_from(self, url: str) -> bool:
        return self._origin_data().get("url") == _fingerprint(url)

    def validator(self, url: str) -> str | None:
        """Return the ETag or date that the bytes so far came with from ``url``, if they did."""
        validator = self._origin_data().get("validator")
        return validator if isinstance(validator, str) and self.came_from(url) else None

    def begin(self, url: str, validator: str | None) -> None:
        """Start from zero. The order keeps a crash from pairing old bytes with a new origin."""
        self.discard()
        with disk_errors(self.data):
            self.data.touch()
            origin = {"url": _fingerprint(url), "validator": validator}
            self._origin.write_text(json.dumps(origin), encoding="utf-8")

    def _origin_data(self) -> dict[str, object]:
        try:
            origin = json.loads(self._origin.read_bytes())
        except (OSError, ValueError):
            return {}
        return origin if isinstance(origin, dict) else {}

    def discard(self) -> None:
        with disk_errors(self.data):
            self._origin.unlink(missing_ok=True)
            self.data.unlink(missing_ok=True)


def download(
    url: str,
    label: str,
    source: Source,
    part: PartialFile,
    *,
    options: ClientOptions,
    progress: Progress,
) -> None:
    """Make ``part`` hold ``source.size`` bytes from ``url``; their hash is for the caller to check.

    Raises MirrorError when this mirror is of no use, StorageError when the disk is not. An interrupt
    leaves the bytes so far, to be resumed by the next run.
    """
    with MirrorClient(options, name=label, progress=progress) as client:
        client.with_retries(lambda _: _attempt(client, url, source, part))


def _attempt(client: MirrorClient, url: str, source: Source, part: PartialFile) -> None:
    offset, headers = part.size, {}
    if (validator := part.validator(url)) and 0 < offset < source.size:
        headers = {"Range": f"bytes={offset}-", "If-Range": validator}
    else:
        offset = 0
    with client.get(url, headers) as response:
        offset = _agreed_offset(response, offset, source, part)
        _check_length(response, source.size - offset, source)
        if offset == 0:
            part.begin(url, _validator(response.headers))
        client.progress.started(source.filename, source.size, client.name)
        client.progress.advanced(offset)
        _receive(response, offset, source, part, client.progress)


def _agreed_offset(response: Response, asked: int, source: Source, part: PartialFile) -> int:
    """Return where the body begins; raises for a status that brings no body of ours."""
    if response.status == HTTPStatus.OK:
        return 0
    if response.status == HTTPStatus.PARTIAL_CONTENT and asked:
        expected = f"bytes {asked}-{source.size - 1}/{source.size}"
        if response.headers.get("Content-Range", "").strip().lower() == expected:
            return asked
    if asked and response.status in {
        HTTPStatus.PARTIAL_CONTENT,
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    }:
        part.discard()
        msg = "does not resume where it was asked to; starting from zero"
        raise Fault(msg, wait=0.0)
    raise MirrorError(str(response))


def _check_length(response: Response, expected: int, source: Source) -> None:
    """Raise MirrorError when the headers alone show that the body is not the file."""
    declared = response.headers.get("Content-Length", str(expected)).strip()
    if declared != str(expected):
        media = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if _is_archive(source) and (
            media == "text/html" or PAGE.match(next(response.chunks(expected=0), b""))
        ):
            raise MirrorError(PORTAL, kind=FailureKind.WRONG)
        length = number_in(declared)
        what = f"declares {length}" if length is not None else "declares no number of"
        msg = f"{what} bytes where {expected} were pinned"
        raise MirrorError(msg, kind=FailureKind.WRONG)


def _receive(
    response: Response, offset: int, source: Source, part: PartialFile, progress: Progress
) -> None:
    received = offset
    with disk_errors(part.data):
        file = part.data.open("ab", buffering=0)
    with file:
        for chunk in response.chunks(expected=source.size - offset):
            if received == 0 and _is_archive(source) and PAGE.match(chunk):
                part.discard()
                raise MirrorError(PORTAL, kind=FailureKind.WRONG)
            received += len(chunk)
            if received > source.size:
                part.discard()
                msg = f"sends more than the {source.size} bytes that were pinned"
                raise MirrorError(msg, kind=FailureKind.WRONG)
            with disk_errors(part.data):
                _write_all(file, chunk)
            progress.advanced(len(chunk))


def _write_all(file: io.RawIOBase, chunk: bytes) -> None:
    """An unbuffered write may take a part only, on a disk that is about to be full."""
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) or 0 :]


def _validator(headers: Mapping[str, str]) -> str | None:
    """Return what If-Range may hold: https://www.rfc-editor.org/rfc/rfc9110#name-if-range."""
    etag = headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return headers.get("Last-Modified") or None


def _is_archive(source: Source) -> bool:
    return source.filename.endswith(ARCHIVES)


def _fingerprint(url: str) -> str:
    """Name a URL without storing the password it may hold."""
    return hashlib.sha256(url.encode()).hexdigest()
