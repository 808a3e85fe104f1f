"""What freezing asks of the source: the modules are merged into one, and run without importlib, io and codecs."""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from pathlib import Path

import pytest

from tests.behaviour.servers import answer, http_reply, serving

ROOT = Path(__file__).parents[3]
MERGE = ROOT / "recipes" / "probe" / "merge.py"
PLAIN_PYTHON_ONLY = {"digests", "ssl_session"}
"""Never merged: no frozen program has the modules hashlib and ssl."""
SOURCES = sorted(
    path for path in (ROOT / "probe").glob("*.py") if path.stem not in PLAIN_PYTHON_ONLY
)
BUILT_IN = {"sys", "_socket", "time", "errno", "posix", "select", "__future__"}
FORBIDDEN_NAMES = {
    *("eval", "exec", "compile", "print", "open", "input", "__import__", "globals", "breakpoint"),
}
# Codecs and error handlers that the C decoders know themselves; any other asks the codecs registry.
CODECS = {"utf-8", "latin-1", "ascii"}
ERROR_HANDLERS = {"replace", "surrogateescape", "ignore"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def top_level_names(module: ast.Module) -> list[str]:
    names: list[str] = []
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [
                name.id
                for target in node.targets
                for name in ast.walk(target)
                if isinstance(name, ast.Name)
            ]
        elif isinstance(node, ast.AnnAssign):
            assert isinstance(node.target, ast.Name)
            names.append(node.target.id)
    return names


def own_imports(module: ast.Module) -> set[str]:
    return {
        (node.module or "").removeprefix("probe.")
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("probe.")
    } - PLAIN_PYTHON_ONLY


def type_checking_block(module: ast.Module) -> set[ast.AST]:
    return {
        inner
        for node in module.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in node.body
        for inner in ast.walk(child)
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_imports_only_built_in_modules(path: Path) -> None:
    module = tree(path)
    skipped = type_checking_block(module)
    assert not skipped or path.name == "kinds.py"
    top_level = set(module.body)
    for node in ast.walk(module):
        if node in skipped or not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            roots = {(node.module or "").partition(".")[0]}
        else:
            roots = {alias.name for alias in node.names}
        assert all(alias.asname is None for alias in node.names), "no renaming: modules are merged"
        if node not in top_level:
            assert path.stem == "system"
            assert roots <= {"_digest", "_tls", "probe"}
        elif roots == {"probe"}:
            # Never a module as a name space: it will not exist.
            assert isinstance(node, ast.ImportFrom)
            assert (node.module or "").count(".") == 1
        else:
            assert roots <= (BUILT_IN if path.stem == "system" else {"__future__"})


def test_only_system_knows_what_is_for_plain_pythons() -> None:
    for path in (ROOT / "probe").glob("*.py"):
        for node in ast.walk(tree(path)):
            plain = isinstance(node, ast.ImportFrom) and str(node.module).removeprefix("probe.")
            if plain in PLAIN_PYTHON_ONLY:
                assert path.stem == "system"


def test_top_level_names_are_unique_across_the_package() -> None:
    owners: dict[str, str] = {}
    for path in SOURCES:
        for name in set(top_level_names(tree(path))) - {"__all__"}:
            assert name not in owners, f"{name} is in {owners.get(name)} and in {path.name}"
            assert not hasattr(builtins, name), f"{name} hides a built-in"
            owners[name] = path.name


def test_own_names_do_not_hide_imported_ones() -> None:
    own = {name for path in SOURCES for name in top_level_names(tree(path))}
    for path in SOURCES:
        module = tree(path)
        for node in module.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                foreign = not (
                    isinstance(node, ast.ImportFrom) and str(node.module).startswith("probe")
                )
                assert not foreign or not own & {alias.name for alias in node.names}


def test_imports_have_no_cycle() -> None:
    wanted = {path.stem: own_imports(tree(path)) for path in SOURCES}
    done: set[str] = set()
    while len(done) < len(wanted):
        ready = {name for name, needs in wanted.items() if name not in done and needs <= done}
        assert ready, f"a cycle among {set(wanted) - done}"
        done |= ready


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_uses_nothing_that_needs_the_standard_library(path: Path) -> None:
    module = tree(path)
    skipped = type_checking_block(module)
    assert isinstance(module.body[0], ast.Expr), "a docstring"
    for node in ast.walk(module):
        if node in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            # A lone surrogate in a frozen module makes unmarshalling look for a codec, and crash.
            node.value.encode("utf-8")
        if isinstance(node, ast.Name):
            assert node.id not in FORBIDDEN_NAMES
        if isinstance(node, ast.ClassDef):
            assert not node.keywords, "no metaclasses"
            assert not node.decorator_list
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.Assert)):
            pytest.fail(f"{path.name}: {type(node).__name__}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            check_codec_call(node, node.func.attr)


def check_codec_call(node: ast.Call, method: str) -> None:
    if method in {"encode", "decode"} and all(isinstance(a, ast.Constant) for a in node.args):
        values = [a.value for a in node.args if isinstance(a, ast.Constant)]
        assert not values or values[0] in CODECS
        assert len(values) < 2 or values[1] in ERROR_HANDLERS


def test_only_the_entry_runs_anything() -> None:
    for path in SOURCES:
        for node in tree(path).body:
            if isinstance(node, ast.Expr):
                assert isinstance(node.value, ast.Constant)
            elif isinstance(node, ast.If):
                assert path.name in {"kinds.py", "__main__.py"}
            elif isinstance(node, ast.Try):
                assert path.name == "system.py"


def merged(*separate: str) -> str:
    """All modules in one, as they are frozen; without those that are ``separate`` there."""
    return subprocess.run(
        [sys.executable, "-I", "-S", MERGE, ROOT / "probe", *separate],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("separate", [(), ("system",)], ids=["whole", "without system"])
def test_nothing_is_lost_in_the_merge(separate: tuple[str, ...]) -> None:
    module = ast.parse(merged(*separate))
    paths = [path for path in SOURCES if path.stem not in separate]
    names = {name for path in paths for name in top_level_names(tree(path))}
    assert names - {"__all__", "TYPE_CHECKING"} <= set(top_level_names(module))
    imported = {
        name
        for node in module.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        )
    }
    assert imported == (set(separate) or BUILT_IN - {"__future__"})


# Imports of anything but the built-in modules fail as they do when frozen; so do the built-in functions that need io.
FROZEN_LIKE = """
import builtins, sys
allowed = {{name: __import__(name) for name in {allowed}}}
code = compile(open(sys.argv.pop(1)).read(), "merged", "exec", optimize=2)
run = exec
def refuse(name, *rest):
    if name not in allowed:
        raise SystemError("null argument to internal function")
    return allowed[name]
builtins.__import__ = refuse
for name in ("open", "print", "eval", "exec", "compile"):
    setattr(builtins, name, None)
sys.stdout = sys.stderr = None
run(code, {{"__name__": "__main__", "__builtins__": builtins}})
"""


def test_merged_into_one_module_it_still_works(tmp_path: Path) -> None:
    without_annotations = "from __future__ import annotations\n"  # Nuitka leaves them out
    (tmp_path / "merged.py").write_text(without_annotations + merged())
    (tmp_path / "run.py").write_text(FROZEN_LIKE.format(allowed=sorted(BUILT_IN)))
    with serving(answer(http_reply(body=b'{"a": "\\u00e9"}'))) as server:
        url = f"http://u:p@localhost:{server.port}/"
        for argv, code, text in [
            ([url, "--json", "a=é", "-v", "--and", "file", "/"], 0, "healthy: 2 of 2"),
            (["grpc", server.address], 1, "unhealthy: grpc"),
            (["http", f"https://{server.address}/"], 1, "this build has no TLS"),
            (["process", "nobody-has-this-name"], 1, "not running"),
            (["--help"], 0, "Checks"),
            (["htpp", "localhost:1"], 1, "perhaps http"),
        ]:
            done = subprocess.run(
                [sys.executable, "-S", "-I", "run.py", "merged.py", *argv],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (code, "")
            assert text in done.stdout


def test_loads_nothing_else() -> None:
    script = (
        "import sys; before = set(sys.modules); import probe.cli;"
        "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('probe')))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= BUILT_IN
