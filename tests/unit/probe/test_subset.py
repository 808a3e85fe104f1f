"""The checks keep to what CPython and MicroPython have in common, and mean alike: https://docs.micropython.org/en/latest/genrst/

Only what is known to be in both is allowed. The module `system` is another one on MicroPython; all others run on both.
"""

from __future__ import annotations

import ast
import builtins
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.probe.test_constraints import (
    SOURCES,
    top_level_names,
    tree,
    type_checking_block,
)

PORTABLE = [path for path in SOURCES if path.stem != "system"]
METHODS = {
    *("append", "insert", "pop", "remove"),
    *("get", "setdefault", "update", "items", "values"),
    *("encode", "decode", "to_bytes", "from_bytes"),
    *("count", "endswith", "find", "isdigit", "join", "lower", "lstrip", "partition", "replace"),
    *("rindex", "rpartition", "rstrip", "split", "startswith", "strip", "upper"),
    *("clear", "close"),
}
"""Of the types of both. Those of text that differ outside ASCII (isdigit, lower, strip, upper) need their care."""

BUILT_INS = {
    *("bool", "bytearray", "bytes", "dict", "float", "int", "list", "memoryview", "object", "set"),
    *("str", "tuple", "type", "isinstance", "chr", "ord", "len", "range", "enumerate", "zip"),
    *("all", "any", "max", "min", "next", "sorted", "sum"),
    *(
        "BaseException",
        "Exception",
        "KeyboardInterrupt",
        "MemoryError",
        "OSError",
        "StopIteration",
        "ValueError",
    ),
}
KEYWORDS = {"min": {"default"}, "max": {"default"}}
"""The words that a built-in function may be called with."""

FORMATS = {"", ".0f", ".1f", ".2f", ".4f", "02x", "04x", "02X", "10", "22"}
LARGEST_FLOAT = 3.4e38
"""Larger constants cannot be frozen by MicroPython's tool."""


def faults(source: str) -> Iterator[str]:
    """Say what is not in the subset."""
    module = ast.parse(source)
    skipped = type_checking_block(module)
    dictionaries = {
        target.id
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module):
        if node not in skipped:
            for fault in faults_of(node, dictionaries):
                yield f"line {getattr(node, 'lineno', '?')}: {fault}"
    yield from faults_of_strings(source)


def faults_of(node: ast.AST, dictionaries: set[str]) -> Iterator[str]:
    match node:
        case ast.Starred(ctx=ast.Load()):
            yield "an unpacked argument or display"
        case ast.Dict(keys=keys) if None in keys:
            yield "an unpacked dictionary"
        case ast.arguments(posonlyargs=[_, *_]):
            yield "positional-only arguments"
        case ast.Match() | ast.TryStar() | ast.AsyncFunctionDef() | ast.Await() | ast.With():
            yield type(node).__name__
        case ast.Slice(step=ast.expr()):
            yield "a slice with a step"
        case ast.Delete(targets=targets):
            for target in targets:
                if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice):
                    yield "a slice is deleted: write b[:n] = b''"
        case ast.Constant(value=float(number)) if abs(number) > LARGEST_FLOAT:
            yield "a float that cannot be frozen"
        case ast.BinOp(left=ast.Constant(value=str() | bytes()), op=ast.Mod()):
            yield "formatting by %"
        case ast.ClassDef(bases=bases, decorator_list=decorators, keywords=keywords):
            if decorators or keywords or [ast.unparse(b) for b in bases] not in ([], ["Exception"]):
                yield "a class that is more than a class"
        case ast.FunctionDef(decorator_list=[_, *_]):
            yield "a decorator"
        case ast.ImportFrom(module="__future__"):
            return
        case ast.Import() | ast.ImportFrom():
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("probe."):
                yield "an import of what is not ours"
            if node.col_offset or any(alias.asname for alias in node.names):
                yield "an import that is not on top, or renames"
        case ast.For(iter=ast.Name(id=name)) | ast.comprehension(iter=ast.Name(id=name)):
            if name in dictionaries:
                yield f"{name} is a dictionary, which has no order on MicroPython"
        case ast.JoinedStr():
            yield from faults_of_format(node)
        case ast.Call():
            yield from faults_of_call(node)
        case ast.Attribute(value=ast.Name(id="self")):
            return
        case ast.Name(id=name, ctx=ast.Load()):
            if hasattr(builtins, name) and name not in BUILT_INS and not name.startswith("__"):
                yield f"the built-in {name}"
        case _:
            return


def faults_of_call(node: ast.Call) -> Iterator[str]:
    words = {word.arg for word in node.keywords}
    match node.func:
        case ast.Name(id=name) if name in BUILT_INS:
            if words - KEYWORDS.get(name, set()):
                yield f"{name}() with {words}"
        case ast.Attribute(attr=name) if hasattr(str, name) or hasattr(bytes, name):
            if name not in METHODS:
                yield f"the method {name}"
            if words or (name in {"encode", "decode"} and node.args):
                yield f"{name}() with an argument: UTF-8 it is, strictly"
        case ast.Attribute(attr=name) if any(
            hasattr(kind, name) for kind in (bytearray, list, dict, set, int, float, tuple)
        ):
            if name not in METHODS or words:
                yield f"the method {name}"


def faults_of_format(node: ast.JoinedStr) -> Iterator[str]:
    """MicroPython cuts an f-string into pieces before it looks at what the expressions are."""
    for value in node.values:
        if not isinstance(value, ast.FormattedValue):
            continue
        if value.conversion != -1:
            yield "!r and the like: bytes and text are shown by quoted()"
        if value.format_spec is not None and plain(value.format_spec) not in FORMATS:
            yield f"the format {ast.unparse(value.format_spec)}"
        for inner in ast.walk(value.value):
            match inner:
                case ast.JoinedStr():
                    yield "an f-string in an f-string"
                case ast.Lambda() | ast.Dict() | ast.Set() | ast.DictComp() | ast.SetComp():
                    yield "a brace or colon in an f-string's expression"
                case ast.Constant(value=str(text)) if set(text) & set("{}:!\\\n"):
                    yield "a brace, colon or escape in an f-string's expression"


def plain(format_spec: ast.expr) -> str | None:
    """A format without braces."""
    match format_spec:
        case ast.JoinedStr(values=[ast.Constant(value=str(text))]):
            return text
        case _:
            return None


def faults_of_strings(source: str) -> Iterator[str]:
    before: list[tokenize.TokenInfo] = []
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        # Since Python 3.12 an f-string is several tokens, of which the first has the prefix.
        kind = tokenize.tok_name[token.type]
        depth += (kind == "FSTRING_START") - (kind == "FSTRING_END")
        if (kind, depth) in {("STRING", 0), ("FSTRING_START", 1)}:
            before.append(token)
        elif depth or kind == "FSTRING_END":
            continue
        elif token.type not in {tokenize.NL, tokenize.COMMENT}:
            prefixes = [one.string[: one.string.index(one.string[-1])].lower() for one in before]
            if "rf" in prefixes or "fr" in prefixes:
                yield f"line {token.start[0]}: a raw f-string"
            for one, prefix in zip(before, prefixes, strict=True):
                if "f" not in prefix and set(one.string) & set("{}") and "f" in prefixes:
                    yield f"line {token.start[0]}: braces beside an f-string"
            before = []


@pytest.mark.parametrize("path", PORTABLE, ids=lambda path: path.name)
def test_keeps_to_the_subset(path: Path) -> None:
    assert list(faults(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = [*a, b]",
        "x = {**a}",
        "f(*a)",
        "def f(a, /): pass",
        "match a:\n    case 1: pass",
        "with a: pass",
        "a[::2]",
        "del a[:2]",
        "x = 1e39",
        "x = '%s' % a",
        "class A(dict): pass",
        "@f\nclass A: pass",
        "@f\ndef g(): pass",
        "import time",
        "from time import monotonic",
        "def f():\n    from probe.errors import Usage",
        "from probe.errors import Usage as U",
        "A = {1: 2}\nfor a in A: pass",
        "A = {1: 2}\nb = [a for a in A]",
        "f'{a!r}'",
        "f'{a:>8}'",
        "f'{a:{b}}'",
        "f'{f(lambda: 1)}'",
        """f'{f("a:b")}'""",
        """f'{f"{a}"}'""",
        "'{' f'{a}'",
        "rf'{a}'",
        "zip(a, b, strict=True)",
        "a.removesuffix('b')",
        "a.translate(None, b)",
        "a.casefold()",
        "a.isascii()",
        "a.decode('latin-1')",
        "a.encode('utf-8', 'replace')",
        "a.split(maxsplit=1)",
        "a.sort(key=f)",
        "a.bit_length()",
        "a.extend(b)",
        "iter(a)",
        "repr(a)",
        "except_ = BlockingIOError",
        "try: a.decode()\nexcept UnicodeError: b",  # that ends a frozen CPython: ask is_utf8() first
        "async def f(): pass",
    ],
)
def test_faults_are_found(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations",
        "from probe.errors import Usage",
        "a, *b = c",
        "a[1:2]\ndel a[1]\na[:2] = b''",
        "x = min(a, default=0)",
        "A = {1: 2}\nx = A[1]\nfor a in sorted(A): pass",
        "f'{a} {b:.2f} {c[1:]} {d != e} {f:02x}' 'g'",
        "a.decode().strip(' ')",
        "class A(Exception): pass",
    ],
)
def test_the_subset_is_allowed(source: str) -> None:
    assert list(faults(source)) == []


def test_nothing_but_system_is_asked() -> None:
    """Each name of `system` that the checks use is one of its own, so that a module in C can stand in its place."""
    offered = set(top_level_names(tree(next(p for p in SOURCES if p.stem == "system"))))
    for path in PORTABLE:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module == "probe.system":
                assert {alias.name for alias in node.names} <= offered
