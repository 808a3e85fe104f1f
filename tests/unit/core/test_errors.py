"""Errors: they travel between processes whole, every class of them."""

import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import builders
import commands
import core
import flow
import publish
import verify
from builders.sources.cache import WrongBytesError
from builders.sources.client import FailureKind
from builders.sources.fetch import Failure
from core.errors import FromscratchError, LostInputs, MissingToolError
from recipes.load import load_recipes

SOURCE = load_recipes()["musl"].releases[0].source
FAILED = Failure(url="https://musl.invalid/", kind=FailureKind.GONE, reason="404")

MADE: dict[str, Any] = {
    "MissingToolError": lambda kind: kind(program="qemu", package="qemu-user", purpose="try"),
    "LostInputs": lambda kind: kind("gone", names=["a" * 64], why="because", next="go on"),
    "BadSignatureError": lambda kind: kind("x.tar", "nobody signed it"),
    "NotCached": lambda kind: kind(SOURCE, [FAILED]),
    "Unavailable": lambda kind: kind(SOURCE, [FAILED]),
    "_Missing": lambda kind: kind("missing", [FAILED], why="because", next="go on"),
    "WrongBytesError": lambda kind: kind("x.tar", expected="a", actual="b"),
}
"""How to make one of a class that wants to be told something of its own."""


def classes() -> list[type[FromscratchError]]:
    """Every class of error that there is anywhere."""
    for room in (builders, commands, core, flow, publish, verify):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            importlib.import_module(module.name)

    def below(kind: type[FromscratchError]) -> Iterator[type[FromscratchError]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    found = {f"{one.__module__}.{one.__qualname__}": one for one in below(FromscratchError)}
    return [found[name] for name in sorted(found)]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_error_arrives_as_it_was_sent(kind: type[FromscratchError]) -> None:
    sent = MADE.get(kind.__name__, _usual)(kind)
    sent.log = b"of its own"
    got = pickle.loads(pickle.dumps(sent))
    assert type(got) is kind
    assert str(got) == str(sent)
    assert vars(got) == vars(sent)
    assert got.args == sent.args


def _usual(kind: type[FromscratchError]) -> FromscratchError:
    return kind("it happened", why="because", next="go on")


def test_what_is_of_one_class_alone_arrives_too() -> None:
    lost = pickle.loads(pickle.dumps(LostInputs("gone", names=["a", "b"])))
    assert lost.names == ("a", "b")
    wrong = pickle.loads(pickle.dumps(WrongBytesError("x", expected="e", actual="a")))
    assert (wrong.expected, wrong.actual) == ("e", "a")
    missing = pickle.loads(pickle.dumps(MissingToolError(program="p", package="q", purpose="r")))
    assert missing.next == "apt-get install -y q"
