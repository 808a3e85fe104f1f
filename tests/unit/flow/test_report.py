"""`inv report` over what a build really leaves: records, refusals, an earlier release, and its errors."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.audit import Audit, remember
from commands.clean import clean
from commands.publish import Publisher
from commands.report import NAME, ReportMaker, check_flags
from core.errors import EngineError, PublishError, RecipeError, UsageError, VerdictError
from core.signing import SecretKey
from core.target import Target
from flow.build import Request, build
from publish.registry.reference import Repository
from publish.trust.revision import Revision
from report.data import Report
from tests import reports
from tests.registry_server import RegistryServer, registry_server
from tests.unit.flow.conftest import FINE, FakeEnvironment, Harness

EACH = '[greeter]\nsummary = "says hello"\neach = "hello"\npath = "/hello"\nbare = "plain"\n'


def refuse(*_: object, **__: object) -> None:
    msg = "no network"
    raise EngineError(msg, next="check it")


def maker(harness: Harness) -> ReportMaker:
    return ReportMaker(context=harness.context(), clock=lambda: reports.MADE, install=refuse)


@pytest.fixture
def built(harness: Harness) -> Harness:
    harness.environment = FakeEnvironment()
    harness.build("hello:plain", "hello:secure")
    return harness


@pytest.fixture
def registry(built: Harness) -> Iterator[RegistryServer]:
    """The two files as images."""
    (built.world.recipes / "images.toml").write_text(EACH)
    with registry_server() as server:
        publisher = Publisher(
            context=built.context(),
            key=SecretKey.generate(),
            look_at_toolchain=lambda _: None,  # which takes seconds
            find_revision=lambda _: Revision(commit="e" * 40, tree="f" * 64),
        )
        publisher.to_registry(Repository.parse(f"oci://{server.host}/tools"), latest=True)
        yield server


def compared(report: Report) -> dict[str, tuple[str, int | None]]:
    return {
        file.product: (file.before.release, file.change) for file in report.files if file.before
    }


def test_nothing_built_is_a_usage_error_with_a_next_step(harness: Harness) -> None:
    with pytest.raises(UsageError) as error:
        maker(harness).gather()
    assert "inv build" in error.value.next


def test_every_file_of_the_manifest_is_in_it(built: Harness) -> None:
    found = maker(built).gather()
    assert {it.product for it in found.files} == {"hello:plain", "hello:secure"}
    assert all(it.ok for it in found.files)
    assert found.parts
    assert not found.runs
    assert found.audit is None


def test_a_registry_is_compared_with(built: Harness, registry: RegistryServer) -> None:
    host, tags = registry.host, registry.store.tags
    for place in ("/tools", "/tools/greeter"):
        found = maker(built).gather(against=f"oci://{host}{place}")
        assert compared(found) == {"hello:plain": ("2.0", 0), "hello:secure": ("2.0-secure", 0)}
    found = maker(built).gather(against=f"oci://{host}/tools/greeter:latest")
    assert compared(found) == {"hello:plain": ("2.0", 0)}

    tags["tools/greeter", "10.0"] = tags["tools/greeter", "2.0"]
    with pytest.raises(PublishError) as error:  # the newest counts, and that holds 2.0
        maker(built).gather(against=f"oci://{host}/tools/greeter")
    assert "10.0" in error.value.what
    with pytest.raises(PublishError) as error:
        maker(built).gather(against=f"oci://{host}/nothing")
    assert "no image of ours" in error.value.what


def test_a_manifest_is_compared_with(built: Harness) -> None:
    directory = built.context().artifacts
    for path in (directory, directory / "manifest.json"):
        found = maker(built).gather(against=str(path))
        assert compared(found) == {"hello:plain": ("2.0", 0), "hello:secure": ("2.0", 0)}


def test_what_an_audit_found_is_in_it(built: Harness, tmp_path: Path) -> None:
    database = tmp_path / "database.json"
    database.write_text('{"id": "CVE-2026-1", "affected": []}')
    context = built.context()
    remember(context, Audit(context=context).run([], databases=[str(database)]))
    found = maker(built).gather().audit
    assert found
    assert (found.affecting, found.threshold) == (0, "medium")
    assert found.parts == found.unnamed > 0  # that database names nobody


def test_the_page_is_written_whole_and_cleaned_away(built: Harness, tmp_path: Path) -> None:
    made = maker(built)
    path = made.write(made.gather(), charts=False)
    assert path == built.context().artifacts / NAME
    assert path.read_bytes().endswith(b"</html>\n")
    other = made.write(made.gather(), output=str(tmp_path / "there" / "page.html"), charts=False)
    assert other.read_bytes() == path.read_bytes()
    assert f"removed {path}" in clean(built.context(), cache=False)
    assert not path.exists()


def test_what_draws_that_cannot_be_had_leaves_a_way(built: Harness) -> None:
    made = maker(built)
    with pytest.raises(EngineError) as error:
        made.write(made.gather())
    assert "check it" in error.value.next
    assert "--no-charts" in error.value.next
    assert not (built.context().artifacts / NAME).exists()


def test_a_directory_is_no_page(built: Harness, tmp_path: Path) -> None:
    made = maker(built)
    with pytest.raises(UsageError):
        made.write(made.gather(), output=str(tmp_path), charts=False)


def test_a_damaged_record_is_named(built: Harness) -> None:
    directory = built.context().artifacts
    plain = [it for it in (directory / "files").iterdir() if it.suffix != ".upx"]
    fills = [f"fill/{path.name}.json" for path in plain]
    (directory / "fill").mkdir(exist_ok=True)
    for name in ("timings.json", "bench.json", "rebuilds.json", "audit.json", *fills):
        for text in ("", "[]", "{}", '{"version": 1}', '{"version": 99}', "\x00"):
            (directory / name).write_text(text)
            with pytest.raises(RecipeError) as error:
                maker(built).gather()
            assert name in error.value.what
            assert error.value.next
        (directory / name).unlink()
    assert maker(built).gather().files


def test_what_was_refused_is_in_it(harness: Harness) -> None:
    harness.environment = FakeEnvironment(answer=FINE._replace(code=3))
    context = harness.context()
    request = Request(products=("hello:plain",), targets=(Target.AMD64,))
    with pytest.raises(VerdictError):
        build(context, request)
    context.write_timings(None)
    found = maker(harness).gather()
    assert not found.files
    assert [(it.product, it.what) for it in found.trouble] == [("hello:plain", "smoke run failed")]
    assert json.dumps(found.as_dict())


@pytest.mark.parametrize(
    "flags",
    [
        {"json": True, "markdown": True},
        {"json": True, "output": "x"},
        {"markdown": True, "open": True},
        {"markdown": True, "no_charts": True},
    ],
)
def test_flags_that_say_two_things_are_refused(flags: dict[str, bool | str]) -> None:
    usual = {"json": False, "markdown": False, "output": "", "open": False, "no_charts": False}
    with pytest.raises(UsageError):
        check_flags(**{**usual, **flags})  # type: ignore[arg-type]
