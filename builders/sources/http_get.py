"""What nobody has pinned yet: listings, signatures and new archives, each with a limit of bytes."""

import io
from http import HTTPStatus
from typing import IO

from builders.sources.client import MirrorClient, MirrorError
from core.progress import Progress
from core.retry import ClientOptions

LISTING_MAX = 8 << 20
SIGNATURE_MAX = 64 << 10
ARCHIVE_MAX = 512 << 20


def read_page(
    url: str, *, limit: int, options: ClientOptions, headers: dict[str, str] | None = None
) -> bytes:
    """Return the body of ``url``. Raises MirrorError when it cannot be had or has more than ``limit`` bytes."""
    file = io.BytesIO()
    save_page(url, file, limit=limit, options=options, headers=headers)
    return file.getvalue()


def save_page(
    url: str,
    file: IO[bytes],
    *,
    limit: int,
    options: ClientOptions,
    headers: dict[str, str] | None = None,
    progress: Progress | None = None,
    label: str = "",
) -> None:
    """Write the body of ``url`` into ``file``; what is retried begins from zero. Raises as `read_page`.

    ``progress`` is told of waits, and of the bytes as well when a ``label`` says what they are called.
    """

    def attempt(_: int) -> None:
        file.seek(0)
        file.truncate()
        with client.get(url, headers) as response:
            if response.status != HTTPStatus.OK:
                raise MirrorError(str(response))
            if (response.length or 0) > limit:
                msg = f"sends more than {limit} bytes"
                raise MirrorError(msg)
            shown.started(label, response.length or limit, url)
            for chunk in response.chunks(limit=limit):
                file.write(chunk)
                shown.advanced(len(chunk))

    with MirrorClient(options, name=url, progress=progress) as client:
        shown = client.progress if label else Progress()
        try:
            client.with_retries(attempt)
        finally:
            shown.finished()
