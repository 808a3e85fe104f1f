"""What nobody has pinned yet: listings, signatures and new archives, each with a limit of bytes."""

import contextlib
import io
from http import HTTPStatus
from typing import IO

from builders.sources.client import Client, Refused
from builders.sources.download import Fault, open_url, read_some, refusal, retry
from core.progress import NullProgress, Progress

LISTING_MAX = 8 << 20
SIGNATURE_MAX = 64 << 10
ARCHIVE_MAX = 512 << 20


def read_page(
    url: str,
    *,
    limit: int,
    client: Client,
    headers: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Return the body of ``url``. Raises Refused when it cannot be had or has more than ``limit`` bytes."""
    file = io.BytesIO()
    save_page(url, file, limit=limit, client=client, headers=headers, progress=progress)
    return file.getvalue()


def save_page(
    url: str,
    file: IO[bytes],
    *,
    limit: int,
    client: Client,
    headers: dict[str, str] | None = None,
    progress: Progress | None = None,
    shown: str = "",
) -> None:
    """Write the body of ``url`` into ``file``; what is retried begins from zero. Raises as `read_page`.

    ``progress`` is told of waits, and of the bytes as well when ``shown`` says what they are called.
    """
    listener = progress or NullProgress()
    told = {"Accept-Encoding": "identity", "User-Agent": "fromscratch", **(headers or {})}

    def attempt() -> None:
        file.seek(0)
        file.truncate()
        began, received = client.monotonic(), 0
        with contextlib.closing(open_url(session, url, told, client)) as response:
            if response.status_code != HTTPStatus.OK:
                raise refusal(response, client.now())
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                msg = "sends a Content-Encoding though it was told not to"
                raise Refused(msg)
            length = response.headers.get("Content-Length", "").strip()
            declared = int(length) if length.isdecimal() else None
            if declared is not None and declared > limit:
                raise _too_much(limit)
            if shown:
                listener.started(shown, declared or limit, url)
            while chunk := read_some(response, full=received == declared):
                received += len(chunk)
                if received > limit:
                    raise _too_much(limit)
                file.write(chunk)
                if shown:
                    listener.advanced(len(chunk))
                elapsed = client.monotonic() - began
                if elapsed > client.limits.grace and received < elapsed * client.limits.min_rate:
                    msg = f"is too slow: {received} bytes in {elapsed:.0f} s"
                    raise Refused(msg)
        if declared is not None and received < declared:
            msg = f"the body ended after {received} of {declared} bytes"
            raise Fault(msg)

    try:
        with client.session() as session:
            retry(attempt, url, client=client, progress=listener)
    finally:
        if shown:
            listener.finished()


def _too_much(limit: int) -> Refused:
    return Refused(f"sends more than {limit} bytes")
