"""`inv bump`: moves pins: looks for newer releases where each recipe's rule says, proves them, and writes them down."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from audit.databases import Database, from_file, look_up, over_network
from audit.report import fixed_between
from audit.subject import Subject, subject_of
from builders.sources.apt import OTHER_SUITES, Apt, DebianRelease
from builders.sources.candidate import Availability, CandidateFinder, CandidateRelease
from builders.sources.client import MirrorError
from builders.sources.discover import upstream
from builders.sources.http_get import ARCHIVE_MAX
from builders.sources.pool import Pool
from builders.sources.pypi import pip_versions
from builders.sources.versions import Version, is_newer
from console.table import table
from core.errors import RecipeError, UsageError
from core.files import write_file
from core.progress import CancellableProgress
from core.retry import ClientOptions
from core.suggest import suggestion
from core.threads import in_threads
from flow.context import Context
from publish.trust.components import Role, component_of
from recipes.model import Recipe, UpdateRule
from recipes.pins import add_release

TRIES = 4
"""How many versions that nothing but a listing names are asked for, newest first, when the newer ones cannot be had."""

SHOWN = 8
"""How many numbers of vulnerabilities a note names."""


class PinState(StrEnum):
    """What became of a pin."""

    MOVED = "moved"
    NEWEST = "newest"
    LEFT = "left alone"
    """It is frozen, or what is newer could not be had or judged."""
    UNSEEN = "not seen"
    """No source of newer releases could be reached."""


@dataclass(frozen=True, kw_only=True)
class PinChange:
    """What became of one recipe: the release that was its newest, and the one that is now."""

    recipe: str
    state: PinState
    old: str
    new: str = ""
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    """Newer releases that could not be had, newest first."""
    fixes: tuple[str, ...] = ()
    """Known vulnerabilities that the newest of those fixes."""
    candidate: CandidateRelease | None = field(default=None, compare=False)

    def as_dict(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "state": self.state.value,
            "from": self.old,
            "to": self.new or None,
            "dropped": list(self.dropped),
            "notes": list(self.notes),
            "passed_over": list(self.passed),
            "fixes": list(self.fixes),
        }


@dataclass(frozen=True, kw_only=True)
class Bump:
    """One run over some recipes."""

    context: Context
    apt: Apt
    options: ClientOptions = field(default_factory=ClientOptions)
    max_bytes: int = ARCHIVE_MAX
    databases: tuple[Database, ...] = ()
    """Who knows what a release fixes; asked only about those that could not be had."""

    @classmethod
    def of(cls, context: Context, databases: Sequence[str] = ()) -> "Bump":
        """Make one; apt keeps its lists in the cache's directory. ``databases`` are files, instead of the network's.

        Raises UsageError and SourceError for a file that is none.
        """
        directory = context.cache_directory / "apt"
        apt = Apt(directory=directory, bases=context.mirrors.debian, cancel=context.cancel)
        files = tuple(from_file(Path(file)) for file in databases)
        return cls(
            context=context,
            apt=apt,
            databases=files or over_network(ClientOptions(cancel=context.cancel)),
        )

    def run(self, names: Sequence[str], *, check: bool = False) -> list[PinChange]:
        """Look at the recipes called ``names``, or all; with ``check`` write nothing. ``curl@8.22.0`` is this very one.

        Everything is looked at before anything is written. Raises BadSignatureError, RecipeError, UsageError.
        """
        recipes = self._select(names)
        rows = in_threads(
            lambda wish: self.look(*wish),
            recipes,
            jobs=4,
            name="bump",
            cancel=self.context.cancel,
        )
        rows = self._with_fixes([recipe for recipe, _ in recipes], rows)
        texts = []
        for index, ((recipe, _), row) in enumerate(zip(recipes, rows, strict=True)):
            if row.candidate:
                path = recipe.directory / "recipe.toml"
                try:
                    new, dropped = add_release(path.read_bytes().decode(), row.candidate.release)
                except RecipeError as error:
                    msg = f"{path}: {error.what}"
                    raise RecipeError(msg, next=error.next) from error
                texts.append((path, new))
                rows[index] = replace(row, dropped=dropped)
        for path, text in [] if check else texts:
            write_file(path, text.encode())
        return rows

    def _select(self, names: Sequence[str]) -> list[tuple[Recipe, str]]:
        """The recipes to look at, each with the version that is wished for, or ''."""
        recipes, wishes = self.context.recipes, dict[str, str]()
        for word in names:
            name, at, version = word.partition("@")
            if name not in recipes:
                msg = f"There is no recipe '{name}'.{suggestion(name, recipes)}"
                raise UsageError(msg, next=f"choose one of: {', '.join(recipes)}")
            if wishes.setdefault(name, version) != version:
                msg = f"{name} is named twice, with different versions."
                raise UsageError(msg, next="name one version of it")
            if at:
                _check_wish(recipes[name], version)
        if self.context.settings.flag("offline"):
            msg = "Newer releases cannot be looked for offline."
            raise UsageError(
                msg, next="run it where there is a network, without FROMSCRATCH_OFFLINE"
            )
        return [
            (recipe, wishes.get(recipe.name, ""))
            for recipe in recipes.values()
            if not names or recipe.name in wishes
        ]

    def _with_fixes(self, recipes: Sequence[Recipe], rows: Sequence[PinChange]) -> list[PinChange]:
        """Say which of the releases that could not be had are security releases."""
        passed = {
            row.recipe: (_subject(recipe, row.new or row.old), _subject(recipe, row.passed[0]))
            for recipe, row in zip(recipes, rows, strict=True)
            if row.passed
        }
        if not passed or not self.databases:
            return list(rows)
        looked = look_up(self.databases, [it for pair in passed.values() for it in pair])
        unknown = {subject.slug for subject in looked.unknown}
        changed = []
        for row in rows:
            old, new = passed.get(row.recipe, (None, None))
            if old is None or new is None:
                changed.append(row)
                continue
            fixes = fixed_between(looked, old, new)
            if fixes:
                more = f" and {len(fixes) - SHOWN} more" if len(fixes) > SHOWN else ""
                note = f"{new.version} is a security release: it fixes {', '.join(fixes[:SHOWN])}{more}"
            elif old.slug in unknown or looked.failed:
                note = f"whether {new.version} is a security release could not be asked"
            else:
                note = f"{new.version} fixes nothing that is known of {old.version}"
            changed.append(replace(row, notes=(*row.notes, note), fixes=fixes))
        return changed

    def look(self, recipe: Recipe, wish: str = "") -> PinChange:
        """Find and obtain the newest release of one recipe that can be had, or the version that is wished for."""
        progress = CancellableProgress(self.context.report.progress("fetch"), self.context.cancel)
        search = _Search(
            recipe=recipe,
            wish=wish,
            apt=self.apt,
            finder=CandidateFinder(
                cache=self.context.cache,
                mirrors=self.context.mirrors,
                options=replace(self.options, sleep=progress.sleep, cancel=self.context.cancel),
                progress=progress,
                max_bytes=self.max_bytes,
            ),
        )
        change = search.result()
        moved = f", {change.new}" if change.new else ""
        self.context.report.note(f"{recipe.name}: {change.state}{moved}")
        return change


@dataclass(frozen=True, kw_only=True)
class _Search:
    """Which releases of one recipe there are, and where."""

    recipe: Recipe
    wish: str = ""
    """The only version to look for, listed or not."""
    apt: Apt
    finder: CandidateFinder
    notes: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    """What could not be had."""

    def result(self) -> PinChange:
        others: Callable[[], dict[str, Availability]]
        match self.recipe.update.rule:
            case None:
                return self._change(PinState.LEFT, f"frozen: {self.recipe.update.frozen}")
            case UpdateRule.PYPI:
                found, others = self._index(), dict[str, Availability]
            case UpdateRule.DEBIAN_OR_UPSTREAM:
                found, others = self._availability(), self._elsewhere
            case rule:
                assert_never(rule)
        known = self._wanted(found or {})
        if self.wish:
            wished = Availability(upstream=True, pooled=True)
            known[self.wish] = wished.joined(known.get(self.wish, Availability()))
        tried = set[tuple[str, Availability]]()
        if (change := self._obtain(known, tried, limit=1)) or (not known and found is not None):
            return change or self._change(PinState.NEWEST)
        # What is newest cannot be had, or nobody could be asked: others may have what lies between it and the pin.
        more = others()
        if found is None and not more and not known:
            return self._change(PinState.UNSEEN)
        for version, availability in self._wanted(more).items():
            known[version] = known.get(version, Availability()).joined(availability)
        if change := self._obtain(known, tried, limit=TRIES):
            return change
        return self._change(PinState.LEFT if known else PinState.NEWEST)

    def _obtain(
        self, known: Mapping[str, Availability], tried: set[tuple[str, Availability]], *, limit: int
    ) -> PinChange | None:
        """Get the newest that can be had; ``limit`` is for versions that nothing but a listing of upstream's names."""
        for version in sorted(known, key=_order, reverse=True):
            availability = known[version]
            if (version, availability) in tried:
                continue
            listed = sum(1 for _, other in tried if not other.in_debian)
            if (limit == 1 and tried) or (listed >= limit and not availability.in_debian):
                continue
            tried.add((version, availability))
            try:
                if self.recipe.update.rule is UpdateRule.PYPI:
                    candidate = self.finder.wheel(self.recipe, version)
                else:
                    candidate = self.finder.archive(self.recipe, version, availability)
            except MirrorError as error:
                self.notes.append(f"not {version}: {error.reason}")
                self.passed.append(version)
            else:
                return self._change(PinState.MOVED, *candidate.notes, candidate=candidate)
        return None

    def _wanted(self, found: Mapping[str, Availability]) -> dict[str, Availability]:
        return {
            version: availability
            for version, availability in found.items()
            if (version == self.wish if self.wish else self._is_newer(version))
        }

    def _index(self) -> dict[str, Availability] | None:
        package = (self.recipe.releases[0].archive.pypi or "").partition("==")[0]
        try:
            return dict.fromkeys(pip_versions(package, options=self.finder.options), Availability())
        except MirrorError as error:
            self.notes.append(f"could not ask the package index: {error.reason}")
            return None

    def _availability(self) -> dict[str, Availability] | None:
        listed, packaged = self._listed(), self._packaged()
        if listed is None and packaged is None:
            return None
        debian = packaged or {}
        return {
            version: Availability(upstream=version in (listed or ()), debian=debian.get(version))
            for version in {*(listed or ()), *debian}
        }

    def _elsewhere(self) -> dict[str, Availability]:
        """What the indexes of Debian's other suites name, and what its pool shows by itself. Who cannot be asked is
        passed over: a mirror need not have them."""
        if not self._path:
            return {}
        found = dict[str, Availability]()
        for suite in OTHER_SUITES:
            with contextlib.suppress(MirrorError):
                for version, release in self.apt.releases(self._package, suite).items():
                    found.setdefault(version, Availability(debian=release))
        with contextlib.suppress(MirrorError):
            pool = Pool(bases=self.finder.mirrors.debian, options=self.finder.options)
            for version in pool.versions(*self._path):
                found[version] = replace(found.get(version, Availability()), pooled=True)
        return found

    def _listed(self) -> set[str] | None:
        listing = self.recipe.update.listing
        if not listing:
            return None
        try:
            return upstream(listing, self.recipe.releases[0].archive, self.finder.options)
        except MirrorError as error:
            self.notes.append(f"could not look at {listing}: {error.reason}")
            return None

    def _packaged(self) -> dict[str, DebianRelease] | None:
        if not self._path:
            return None
        try:
            return self.apt.releases(self._package)
        except MirrorError as error:
            self.notes.append(f"could not look at Debian's index: {error.reason}")
            return None

    @property
    def _path(self) -> tuple[str, str] | None:
        """Where Debian's pool has the newest release that it is known to have, and that release's version."""
        for release in self.recipe.releases:
            if release.archive.debian:
                return release.archive.debian, release.version
        return None

    @property
    def _package(self) -> str:
        path, _ = self._path or ("", "")
        return path.split("/")[-2]

    def _is_newer(self, version: str) -> bool:
        pinned = self.recipe.releases[0].version
        return is_newer(version, pinned, series=self.recipe.update.series)

    def _change(
        self, state: PinState, *notes: str, candidate: CandidateRelease | None = None
    ) -> PinChange:
        return PinChange(
            recipe=self.recipe.name,
            state=state,
            old=self.recipe.releases[0].version,
            new=candidate.release.version if candidate else "",
            notes=(*self.notes, *notes),
            candidate=candidate,
            passed=tuple(sorted(set(self.passed), key=_order, reverse=True)),
        )


def _subject(recipe: Recipe, version: str) -> Subject:
    """A release as databases know it, pinned or not."""
    release = replace(recipe.releases[0], version=version)
    return subject_of(component_of(recipe, release, Role.LIBRARY), recipe)


def _check_wish(recipe: Recipe, version: str) -> None:
    """Raise UsageError for a version that a recipe cannot move to."""
    pinned, series = recipe.releases[0].version, recipe.update.series
    if Version.parse(version) is None:
        msg = f"'{version}' is no version of a release."
        raise UsageError(msg, next=f"write numbers with dots, such as {recipe.name}@{pinned}")
    if not is_newer(version, pinned):
        msg = f"{recipe.name} is pinned at {pinned}, and {version} is not newer."
        raise UsageError(
            msg, next="take an older release back with git, or change the recipe by hand"
        )
    if not is_newer(version, pinned, series=series):
        msg = f"{version} is not of the series {series}, which {recipe.name} stays in."
        raise UsageError(msg, next=f"change 'series' in {recipe.directory / 'recipe.toml'}")


def _order(version: str) -> Version:
    found = Version.parse(version)
    assert found, f"{version} was not looked at"
    return found


def bump_table(rows: Sequence[PinChange], *, check: bool) -> str:
    """What a run ends with."""
    words = {PinState.MOVED: "would move"} if check else {}
    head = ("recipe", "state", "pinned", "newest", "notes")
    cells = []
    for row in rows:
        dropped = [f"{version} is no longer pinned" for version in row.dropped]
        notes = [*row.notes, *dropped] or [""]
        state = words.get(row.state, row.state.value)
        cells.append((row.recipe, state, row.old, row.new or "-", notes[0]))
        cells += [("", "", "", "", note) for note in notes[1:]]
    return table(head, cells)
