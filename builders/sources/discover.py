"""Which releases does upstream have? Only version numbers are taken from what others wrote: where a release is,
follows from where the pinned one is."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
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


class Discovery(Protocol):
    """A listing that knows which releases there are."""

    @property
    def where(self) -> str:
        """Its page, for people."""

    def versions(self) -> frozenset[str]:
        """Return what looks like a version; also old ones and candidates. Raises MirrorError."""


@dataclass(frozen=True, kw_only=True)
class HtmlDiscovery:
    """A page with links to archives like the pinned one, or to directories that are called like releases."""

    listing: str
    pinned: Source
    options: ClientOptions

    @property
    def where(self) -> str:
        """The page."""
        return self.listing

    def versions(self) -> frozenset[str]:
        """Return the versions in the page's links."""
        page = read_page(self.listing, limit=LISTING_MAX, options=self.options)
        text = page.decode("utf-8", "replace")
        parts = [
            self.pinned.filename,
            *(part for url in self.pinned.urls for part in url.split("/")),
        ]
        shapes = {shape for part in parts if (shape := pattern(part, self.pinned.version))}
        found = set()
        for link in _links(text):
            for part in link.split("/"):
                found |= {match[1] for shape in shapes if (match := shape.fullmatch(part))}
        if not found:
            msg = f"lists nothing that is called like {self.pinned.filename}"
            raise MirrorError(msg)
        return frozenset(found)


def _links(text: str) -> Iterator[str]:
    for groups in HREF.findall(text):
        yield unquote(_path(html.unescape("".join(groups))))


def _path(link: str) -> str:
    try:
        return urlsplit(link).path
    except ValueError:
        return ""


@dataclass(frozen=True, kw_only=True)
class GitHubDiscovery:
    """The releases of a project on GitHub, or its tags. Drafts and what is marked as a pre-release do not count."""

    listing: str
    options: ClientOptions
    api: str = API

    @property
    def where(self) -> str:
        """The page for people."""
        return self.listing

    def versions(self) -> frozenset[str]:
        """Return the versions that the newest hundred tags are called after."""
        owner, project, kind = urlsplit(self.listing).path.strip("/").split("/")
        url = f"{self.api}/repos/{quote(owner)}/{quote(project)}/{kind}?per_page={PER_PAGE}"
        accept = {"Accept": "application/vnd.github+json"}
        page = read_page(url, limit=LISTING_MAX, options=self.options, headers=accept)
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
        return frozenset(match[1] for match in found if match)


def upstream(listing: str, pinned: Source, options: ClientOptions) -> Discovery:
    """Return what can read this listing."""
    parts = urlsplit(listing)
    is_project = re.fullmatch(r"/[^/]+/[^/]+/(?:releases|tags)/?", parts.path)
    if parts.hostname == "github.com" and is_project:
        return GitHubDiscovery(listing=listing, options=options)
    return HtmlDiscovery(listing=listing, pinned=pinned, options=options)
