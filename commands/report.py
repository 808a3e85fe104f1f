"""`inv report`: one page of what was built; or the same as Markdown, or as JSON."""

import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from core.errors import EngineError, UsageError
from core.extras import Extra, require
from core.files import Place, atomic, disk_errors
from flow.context import Context
from publish.manifest import read_manifest
from publish.registry.reference import SCHEME
from recipes.load import list_products
from report.data import Report
from report.draw import Render, vega
from report.gather import gather
from report.page import page
from report.previous import Previous, read_previous

NAME = "report.html"


def now() -> str:
    """The time, to the second."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, kw_only=True)
class ReportMaker:
    """One report of what is in the directory of the results."""

    context: Context
    clock: Callable[[], str] = field(default=now)
    install: Callable[..., None] = field(default=require)

    def gather(self, *, against: str = "", insecure: bool = False) -> Report:
        """Read all records. Raises UsageError when nothing was built, RecipeError for a record that is damaged."""
        directory = self.context.artifacts
        made = gather(
            directory,
            read_manifest(directory),
            self.context.recipes,
            made=self.clock(),
            against=against,
            previous=self._previous(against, insecure=insecure) if against else None,
        )
        if not made.files and not made.runs:
            msg = f"Nothing is built yet: {directory} has no manifest and no timings."
            raise UsageError(msg, next="inv build --timings, then inv report")
        return made

    def write(self, report: Report, *, output: str = "", charts: bool = True) -> Path:
        """Write the page, and return where it is. Raises EngineError when what draws its charts cannot be had."""
        path = Path(output).absolute() if output else self.context.artifacts / NAME
        if path.is_dir():
            msg = f"'{path}' is a directory."
            raise UsageError(msg, next=f"name a file: --output {Path(output) / NAME}")
        whole = page(report, self._render() if charts else None)
        with disk_errors(path, Place.ARTIFACTS), atomic(path) as file:
            file.write(whole)
        return path

    def _render(self) -> Render:
        try:
            self.install(Extra.REPORT, say=self.context.report.note)
        except EngineError as error:
            next = f"{error.next}; or make the page without its charts: inv report --no-charts"
            raise EngineError(error.what, why=error.why, next=next) from error
        return vega()

    def _previous(self, against: str, *, insecure: bool) -> Previous:
        products = [product.name for product in list_products(self.context.recipes)]
        if against.startswith(SCHEME):
            from commands.report_images import released_images  # noqa: PLC0415 - few compare with a registry

            return released_images(self.context, against, insecure=insecure)
        return read_previous(Path(against).absolute(), products)


def check_flags(*, json: bool, markdown: bool, output: str, open: bool, no_charts: bool) -> None:
    """Raise UsageError for flags that say two things at once."""
    if json and markdown:
        msg = "Standard output takes one of --json and --markdown."
        raise UsageError(msg, next="run it twice: nothing is built or measured by it")
    if (json or markdown) and (output or open or no_charts):
        msg = "--output, --open and --no-charts are about the page; with --json or --markdown there is none."
        raise UsageError(msg, next="run it twice: once for the page, once for the text")


def show(path: Path, say: Callable[[str], None]) -> None:
    """Open the page in the user's browser, if there is one."""
    if not webbrowser.open(path.as_uri()):
        say(f"no browser could be started here: open {path} in one")
