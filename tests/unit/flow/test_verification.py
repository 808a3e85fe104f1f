"""Verdicts and smoke runs of several products: at the same time, told in one order, and ended with the run."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.request import urlopen

import pytest

from core.cancel import Cancelled, CancelToken
from core.errors import RecipeError, VerdictError
from core.scratch import RunResult
from tests.fakes import wait_for_threads
from tests.unit.flow.conftest import FINE, Harness
from verify.servers import serving


@dataclass
class Meeting:
    """An environment that lets nobody go before two are in it; who asked first is answered last."""

    how: str = "sandbox"
    together: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))
    came: list[str] = field(default_factory=list)
    met: threading.local = field(default_factory=threading.local)

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath
    ) -> Iterator["Meeting"]:
        self.came.append(threading.current_thread().name)
        if not getattr(self.met, "done", False):
            self.met.done = True
            # It breaks, and fails the test, when the other one never comes.
            if self.together.wait(20) == 0:
                time.sleep(0.2)
        yield self

    def run(self, args: Sequence[str], *, seconds: float) -> RunResult:
        return FINE


def test_products_are_tried_out_at_the_same_time_and_told_in_the_order_asked_for(
    harness: Harness,
) -> None:
    environment = harness.environment = Meeting()  # type: ignore[assignment]
    made = harness.build("hello:secure", "hello:plain", jobs="2")
    assert [(one.product, one.packed) for one in made] == [
        ("hello:secure", False),
        ("hello:secure", True),
        ("hello:plain", False),
        ("hello:plain", True),
    ]
    assert set(environment.came) == {"verify_0", "verify_1"}


@dataclass
class Interrupted(Meeting):
    """Ctrl-C comes during the first smoke run."""

    cancel: CancelToken = field(default_factory=CancelToken)

    @contextmanager
    def open(
        self, files: Mapping[PurePosixPath, Path], *, program: PurePosixPath
    ) -> Iterator["Meeting"]:
        self.came.append(threading.current_thread().name)
        self.cancel.set()
        msg = "Cancelled: a smoke run"
        raise Cancelled(msg)
        yield self


def test_what_ends_one_smoke_run_begins_no_other(harness: Harness) -> None:
    environment = harness.environment = Interrupted(cancel=harness.cancel)  # type: ignore[assignment]
    with pytest.raises(Cancelled):
        harness.build("hello:secure", "hello:plain", jobs="1")
    wait_for_threads("verify")
    assert len(environment.came) == 1
    assert harness.files() == []


def test_servers_of_one_smoke_run_know_nothing_of_another_s(harness: Harness) -> None:
    def ask(places: Mapping[str, str]) -> int:
        try:
            with urlopen(f"{places['http']}/flaky", timeout=10) as answer:
                return int(answer.status)
        except OSError as error:
            code: int = error.code  # type: ignore[attr-defined]
            getattr(error, "close", lambda: None)()
            return code

    with serving() as one, serving() as other:
        assert [ask(one.placeholders), ask(other.placeholders)] == [503, 503]
        assert [ask(one.placeholders), ask(other.placeholders)] == [200, 200]
        one.reset()
        assert [ask(one.placeholders), ask(other.placeholders)] == [503, 200]


def name_policy(harness: Harness, name: str) -> None:
    recipe = harness.context().recipes["hello"].directory / "recipe.toml"
    recipe.write_text(f'policy = "{name}"\n{recipe.read_text("utf-8")}', "utf-8")


def test_a_recipe_s_policy_is_held_against_what_it_made(harness: Harness) -> None:
    name_policy(harness, "hardened")
    with pytest.raises(VerdictError, match="full-relro"):
        harness.build("hello:plain")
    assert harness.files() == []


def test_a_policy_may_be_a_file_of_the_recipe_s_directory(harness: Harness) -> None:
    name_policy(harness, "small.toml")
    directory = harness.context().recipes["hello"].directory
    (directory / "small.toml").write_text(
        'summary = ""\nmax-size = 10\n[rules]\nsize-budget = "off"\n'
    )
    assert harness.build("hello:plain")
    (directory / "small.toml").write_text('summary = ""\n[rules]\nno-symbls = "off"\n')
    with pytest.raises(RecipeError, match="Perhaps you meant 'no-symbols'"):
        harness.build("hello:plain")


def test_a_policy_that_does_not_exist_is_said_before_anything_is_built(harness: Harness) -> None:
    name_policy(harness, "hardend")
    with pytest.raises(RecipeError, match="Perhaps you meant 'hardened'"):
        harness.build("hello:plain")
    assert harness.engine.ran == []
