"""Get a release that nobody has pinned yet, and find out all that its pin has to say; nothing is believed unseen."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from builders.sources.apt import DebianRelease, PoolFile
from builders.sources.archive import Unreadable, members
from builders.sources.client import MirrorError
from builders.sources.fetch import Unavailable, fetch
from builders.sources.http_get import ARCHIVE_MAX, SIGNATURE_MAX, read_page, save_page
from builders.sources.mirrors import Mirrors
from builders.sources.pool import Pool
from builders.sources.pypi import pip_download, pip_sha256
from builders.sources.signature import BadSignatureError, check_signature
from builders.sources.unpack import LATEST, MAX_BYTES
from builders.sources.versions import replaced
from core.files import hash_file
from core.progress import Progress
from core.retry import ClientOptions
from recipes.model import Recipe, Release, Signature, Source

if TYPE_CHECKING:
    from builders.sources.shared import AnyCache


@dataclass(frozen=True, kw_only=True)
class CandidateRelease:
    """A release that is in the cache and can be pinned; ``notes`` are for whoever reads the change."""

    release: Release
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Who has a version: upstream, as its listing says, and Debian, as its index says or as its pool shows."""

    upstream: bool = False
    debian: DebianRelease | None = None
    pooled: bool = False
    """A file of this name is in Debian's pool, or may be: no index vouches for it. Not asked beside ``debian``."""

    @property
    def in_debian(self) -> bool:
        return self.debian is not None or self.pooled

    def joined(self, other: "Availability") -> "Availability":
        """Return what both know; what an index says of a file is all there is to say of the pool."""
        debian = self.debian or other.debian
        pooled = debian is None and (self.pooled or other.pooled)
        return Availability(upstream=self.upstream or other.upstream, debian=debian, pooled=pooled)


@dataclass(frozen=True, kw_only=True)
class CandidateFinder:
    """What it takes. Only the Debian part of ``mirrors`` is asked: a private mirror has what was pinned before."""

    cache: "AnyCache"
    mirrors: Mirrors
    options: ClientOptions
    progress: Progress
    max_bytes: int = ARCHIVE_MAX

    def archive(self, recipe: Recipe, version: str, availability: Availability) -> CandidateRelease:
        """Return upstream's archive of ``version``, from upstream or else from Debian, its signature checked.

        Raises MirrorError when it cannot be had or cannot be judged, BadSignatureError when somebody tampers with it.
        """
        old = recipe.releases[0]
        job = _Job(recipe=recipe, version=version, availability=availability)
        with self.cache.scratch() as scratch:
            file = self._file(job, scratch / "archive")
            if old.signature:
                self._check(job, file, old.signature)
            day = release_date(file, job.subject, version, old.date, now=self.options.now())
            sha256 = hash_file(file)
            source = replace(
                old.archive,
                version=version,
                filename=job.move(old.archive.filename),
                urls=tuple(map(job.move, old.archive.urls)),
                debian=job.pool_path(sha256),
                size=file.stat().st_size,
                sha256=sha256,
            )
            self.cache.put_file(file)
        signature = old.signature and replace(old.signature, url=job.move(old.signature.url))
        release = replace(old, version=version, date=day, source=source, signature=signature)
        return CandidateRelease(release=release, notes=tuple(job.notes))

    def wheel(self, recipe: Recipe, version: str) -> CandidateRelease:
        """Return a version from Python's package index. Raises MirrorError."""
        job = _Job(recipe=recipe, version=version, availability=Availability())
        old, filename = job.old, job.move(job.old.archive.filename)
        requirement, is_wheel = job.move(old.archive.pypi or ""), filename.endswith(".whl")
        with self.cache.scratch() as scratch:
            sha256 = pip_sha256(requirement, scratch, wheel=is_wheel, options=self.options)
            source = replace(
                old.archive,
                version=version,
                filename=filename,
                urls=tuple(map(job.move, old.archive.urls)),
                pypi=requirement,
                size=self.max_bytes,  # not known yet: the time that it may take
                sha256=sha256,
            )
            into = scratch / "into"
            into.mkdir()
            file = pip_download(requirement, source, into, options=self.options)
            if file.name != filename:
                msg = f"the index has it as {file.name}, not as {filename}"
                raise MirrorError(msg)
            day = release_date(file, job.subject, version, old.date, now=self.options.now())
            source = replace(source, size=file.stat().st_size)
            self.cache.put_file(file, expect=sha256)
        return CandidateRelease(release=replace(old, version=version, date=day, source=source))

    def _file(self, job: "_Job", file: Path) -> Path:
        reasons = []
        if job.availability.upstream:
            for url in map(job.move, job.old.archive.urls):
                if not job.old.signature and not url.startswith("https://"):
                    reasons.append(f"{url}: nobody signs it, and plain http vouches for nothing")
                    continue
                try:
                    with file.open("wb") as opened:
                        save_page(
                            url,
                            opened,
                            limit=self.max_bytes,
                            options=self.options,
                            progress=self.progress,
                            label=url.rpartition("/")[2],
                        )
                except MirrorError as error:
                    reasons.append(f"{url}: {error.reason}")
                else:
                    return file
        if debian := job.availability.debian:
            filename = job.move(job.old.archive.filename)
            if debian.archive.path.rpartition(".")[2] != filename.rpartition(".")[2]:
                reasons.append(f"Debian has it as {debian.archive.path}, which is another file")
            else:
                try:
                    path = self._from_pool(job, debian.archive, filename)
                except MirrorError as error:
                    reasons.append(error.reason)
                else:
                    alone = ", and nobody signs it: compare it with upstream's"
                    signed = "" if job.old.signature else alone
                    job.notes.append(f"the archive is from Debian's pool{signed}")
                    return path
        elif job.availability.pooled and job.pool_name:
            if not job.old.signature:
                reasons.append("Debian's pool may have it: no index names it, and nobody signs it")
            else:
                try:
                    self._pool.save(
                        job.pool_name, file, limit=self.max_bytes, progress=self.progress
                    )
                except MirrorError as error:
                    reasons.append(error.reason)
                else:
                    job.notes.append("the archive is from Debian's pool, by no index")
                    return file
        raise MirrorError("; ".join(dict.fromkeys(reasons)) or "nobody has it")

    def _check(self, job: "_Job", file: Path, signed: Signature) -> None:
        reasons, signature, debian = [], b"", job.availability.debian
        url = job.move(signed.url)
        if job.availability.upstream:
            try:
                signature = read_page(url, limit=SIGNATURE_MAX, options=self.options)
            except MirrorError as error:
                reasons.append(f"{url}: {error.reason}")
        if not signature and debian and debian.signature:
            try:
                name = f"{job.move(job.old.archive.filename)}.asc"
                path = self._from_pool(job, debian.signature, name)
                signature = path.read_bytes()[:SIGNATURE_MAX]
            except MirrorError as error:
                reasons.append(error.reason)
        elif not signature and debian:
            reasons.append("Debian carries none")
        elif not signature and job.availability.pooled and job.pool_name:
            path = file.with_name("signature")
            try:
                self._pool.save(
                    f"{job.pool_name}.asc", path, limit=SIGNATURE_MAX, progress=self.progress
                )
                signature = path.read_bytes()
            except MirrorError as error:
                reasons.append(error.reason)
        if not signature:
            msg = f"its signature could not be had: {'; '.join(reasons)}"
            raise MirrorError(msg)
        made = check_signature(
            file, signature, job.recipe.certificates, signed.key, subject=job.subject
        )
        if made.date() < job.old.date:
            # A signature says nothing of the file's name: an old release can be passed off as a new one.
            reason = (
                f"it was made on {made.date()}, before {job.old.version} came out ({job.old.date})"
            )
            raise BadSignatureError(job.subject, reason)

    @property
    def _pool(self) -> Pool:
        return Pool(bases=self.mirrors.debian, options=self.options)

    def _from_pool(self, job: "_Job", file: PoolFile, filename: str) -> Path:
        if file.size > self.max_bytes:
            msg = f"Debian's {file.path} has {file.size} bytes, more than {self.max_bytes}"
            raise MirrorError(msg)
        source = Source(
            name=job.recipe.name,
            version=job.version,
            filename=filename,
            urls=(),
            debian=file.path,
            size=file.size,
            sha256=file.sha256,
        )
        pool = Mirrors(debian=self.mirrors.debian)
        options, progress = self.options, self.progress
        try:
            return fetch(source, self.cache, pool, options=options, progress=progress).path
        except Unavailable as error:
            if not error.gone:
                raise
            reasons = ", ".join(dict.fromkeys(failure.reason for failure in error.failures))
            msg = (
                f"{file.path} is in Debian's index, but not in its pool ({reasons or 'no mirror'})"
            )
            raise MirrorError(msg) from error


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One version of one recipe."""

    recipe: Recipe
    version: str
    availability: Availability
    notes: list[str] = field(default_factory=list)

    @property
    def old(self) -> Release:
        return self.recipe.releases[0]

    @property
    def subject(self) -> str:
        return f"{self.recipe.name} {self.version}"

    def move(self, text: str) -> str:
        return replaced(text, self.old.version, self.version)

    @property
    def pool_name(self) -> str:
        """Where Debian has it, going by the pinned release; '' when that is not from there."""
        path = self.old.archive.debian or ""
        moved = self.move(path)
        return moved if moved != path else ""

    def pool_path(self, sha256: str) -> str | None:
        """Where Debian has the same bytes, or will have them as far as one can tell."""
        debian = self.availability.debian
        if debian is None:
            return self.old.archive.debian and self.move(self.old.archive.debian)
        if debian.archive.sha256 == sha256:
            return debian.archive.path
        self.notes.append(f"Debian's {debian.archive.path} has other bytes: its path was left out")
        return None


def release_date(
    file: Path,
    subject: str,
    version: str,
    after: date,
    *,
    now: float,
    max_read: int = MAX_BYTES,
) -> date:
    """Return the UTC day of the newest file in an archive: the same for everybody who looks.

    Raises MirrorError when the archive cannot be read, belongs to another version, or is dated before ``after`` or
    after tomorrow: then its times say nothing of its release.
    """
    newest, tops = 0, set()
    try:
        with members(file, max_read=max_read) as found:
            for member in found:
                newest = max(newest, min(member.mtime, LATEST))
                tops.add(member.name.removeprefix("./").partition("/")[0])
    except Unreadable as error:
        msg = f"its archive cannot be used: {error}"
        raise MirrorError(msg) from error
    if not any(replaced(top, version, "\0") != top for top in tops):
        msg = f"{subject}: no directory in the archive is called after {version}: {', '.join(sorted(tops)[:3])}"
        raise MirrorError(msg)
    day = datetime.fromtimestamp(newest, UTC).date()
    tomorrow = datetime.fromtimestamp(now, UTC).date() + timedelta(days=1)
    if not after <= day <= tomorrow:
        msg = f"its newest file is of {day}, which cannot be the day of a release after {after}"
        raise MirrorError(msg)
    return day
