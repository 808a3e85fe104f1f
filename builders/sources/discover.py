"""Which releases does upstream have? Only version numbers are taken from what others wrote: where a release is,
follows from where the pinned one is."""

import contextlib
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

from builders.sources.client import MirrorError
from builders.sources.http_get import LISTING_MAX, read_page
from builders.sources.versions import pattern
from core.retry import ClientOptions
from recipes.model import Source

HREF = re.compile(
    r"""\bhref\s*=\s*(?:"([^"]{1,2000})"|'([^']{1,2000})'|([^\s"'>]{1,2000}))""", re.IGNORECASE
)
API = "https://api.github.com"
PER_PAGE = 100
_TAG = re.compile(r"(?:.*?[-_vV])?(\d[\w.+~-]*)", re.ASCII)


def upstream(listing: str, pinned: Source, options: ClientOptions, *, api: str = API) -> set[str]:
    """Return what looks like a version in a listing; also old ones and candidates. Raises MirrorError."""
    parts = urlsplit(listing)
    project = re.fullmatch(r"/([^/]+/[^/]+)/(releases|tags)/?", parts.path)
    if parts.hostname == "github.com" and project:
        return _in_project(f"{api}/repos/{quote(project[1])}", project[2], options)
    return _in_page(listing, pinned, options)


def _in_page(listing: str, pinned: Source, options: ClientOptions) -> set[str]:
    """From links to archives like the pinned one, or to directories that are called like releases."""
    text = read_page(listing, limit=LISTING_MAX, options=options).decode("utf-8", "replace")
    parts = [pinned.filename, *(part for url in pinned.urls for part in url.split("/"))]
    shapes = {shape for part in parts if (shape := pattern(part, pinned.version))}
    found = {
        match[1]
        for link in links(text)
        for part in link.split("/")
        for shape in shapes
        if (match := shape.fullmatch(part))
    }
    if not found:
        msg = f"lists nothing that is called like {pinned.filename}"
        raise MirrorError(msg)
    return found


def links(text: str) -> Iterator[str]:
    """Yield the paths that a page's links lead to."""
    for groups in HREF.findall(text):
        with contextlib.suppress(ValueError):
            yield unquote(urlsplit(html.unescape("".join(groups))).path)


def _in_project(url: str, kind: str, options: ClientOptions) -> set[str]:
    """From the newest hundred releases on GitHub, or tags. Drafts and what is marked as a pre-release do not count."""
    page = read_page(
        f"{url}/{kind}?per_page={PER_PAGE}",
        limit=LISTING_MAX,
        options=options,
        headers={"Accept": "application/vnd.github+json"},
    )
    try:
        entries = json.loads(page)
    except (ValueError, RecursionError) as error:
        msg = "answers with something that is no JSON"
        raise MirrorError(msg) from error
    key = "tag_name" if kind == "releases" else "name"
    tags = [
        str(entry.get(key, ""))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and not (entry.get("draft") or entry.get("prerelease"))
    ]
    if not tags:
        msg = f"names no {kind}"
        raise MirrorError(msg)
    found = (_TAG.fullmatch(tag.replace("_", ".")) for tag in tags)
    return {match[1] for match in found if match}
