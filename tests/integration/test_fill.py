"""What fills a program, for real: the linker's map and list of owners, of every target; they change no byte of it."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from builders.outcome import Outcome
from builders.plan import Stage
from builders.side import MAP, OWNERS
from builders.sources.cache import Cache
from builders.toolchain import BOX, Toolchain
from core.target import Target
from publish.manifest import read_manifest
from recipes.load import HERE
from records.attribute import SEVERAL, Atom, Nobody, attribute
from records.fill import Fill, PartKind, read_fill
from tests.built import Built
from tests.integration.command import Inv
from tests.integration.seeded_cache import SeededCache, all_but

LIBRARIES = {"libone.a": ("one_a", "one_b", "one_c"), "libtwo.a": ("two_a", "two_b")}
UNIT = """
extern volatile int sink;
static const int {name}_table[64] = {{1, 2, 3, {salt}}};
__attribute__((noinline)) static int {name}_inner(int at)
{{
    for (int i = 0; i < at; i++)
        sink = {name}_table[(at + i * {salt}) & 63] + sink * {salt};
    return sink;
}}
__attribute__((noinline)) static int {name}_outer(int at)
{{
    for (int i = {salt}; i < at; i++)
        sink += {name}_inner(i ^ sink) * ({name}_inner(at) + {salt});
    return sink;
}}
__attribute__((noinline)) int {name}(int at)
{{
    return {name}_outer(at) + {name}_inner({salt});
}}
"""
START = "volatile int sink = 7;\n{extern}\nvoid _start(void)\n{{\n    for (;;)\n        sink = {calls};\n}}\n"


def run(*words: str | Path, cwd: Path) -> None:
    program = Toolchain.installed(HERE).packages / "ziglang" / "zig"
    done = subprocess.run(
        [program, *words],
        cwd=cwd,
        env={"PATH": os.defpath, "HOME": str(cwd)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def link(directory: Path, target: Target) -> tuple[Path, bytes, list[str]]:
    """Link a program of two archives as a recipe does, with a map; the program as a recipe did before comes last."""
    toolchain = Toolchain.installed(HERE)
    cc = [*target.machine.clang.split(), "--no-default-config", "-nostdinc", "-ffreestanding"]
    names = [name for units in LIBRARIES.values() for name in units]
    salts = dict(zip(names, (3, 5, 7, 11, 13), strict=True))
    for name in names:
        (directory / f"{name}.c").write_text(UNIT.format(name=name, salt=salts[name]), "utf-8")
    extern = "\n".join(f"int {name}(int at);" for name in names)
    calls = " + ".join(f"{name}(sink)" for name in names)
    (directory / "main.c").write_text(START.format(extern=extern, calls=calls), "utf-8")
    for name in ("main", *names):
        # What starts a program is no optimised code: on ppc64le the linker looks there for its own names.
        plain = {"-flto"} if name == "main" else set()
        flags = [*(flag for flag in toolchain.compile_flags if flag not in plain), "-fPIE"]
        run("clang", *cc, *flags, "-c", f"{name}.c", "-o", f"{name}.o", cwd=directory)
    for archive, units in LIBRARIES.items():
        run("ar", "rcs", archive, *(f"{name}.o" for name in units), cwd=directory)
    flags = [word for flag in toolchain.link_flags for word in flag.removeprefix("-Wl,").split(",")]
    if not target.machine.outlines:
        flags = [flag.replace("outliner=always", "outliner=never") for flag in flags]
    words = ["ld.lld", "-static", "-pie", "--no-dynamic-linker", *flags, "main.o", *LIBRARIES]
    run(*words, "-o", "without", cwd=directory)
    run(*words, "-o", "with", "-Map=link.map", "--save-temps=resolution", cwd=directory)
    said = (directory / "with.resolution.txt").read_text("utf-8").splitlines(keepends=True)
    owners = [line for line in said if re.search(r",p[lx]*$", line)]
    return directory / "with", (directory / "without").read_bytes(), owners


@pytest.mark.parametrize("target", list(Target), ids=str)
def test_every_target_s_map_is_understood_and_no_static_goes_astray(
    tmp_path: Path, target: Target
) -> None:
    program, before, owners = link(tmp_path, target)
    assert program.read_bytes() == before
    said = (tmp_path / "link.map").read_bytes()
    listed = "".join(owners).encode()
    fill, atoms = attribute(program, said, listed, file="with", own="own", needs={})
    assert sum(atom.size for atom in atoms) == program.stat().st_size == fill.size
    functions = {atom.name: atom for atom in atoms if re.fullmatch(r"(one|two)_._?\w*", atom.name)}
    assert len(functions) >= 10
    owned = [atom for atom in functions.values() if atom.module]
    assert sum(atom.guessed for atom in owned) >= 5
    for atom in owned:
        assert atom.module
        assert atom.module.library == f"lib{atom.name[:3]}.a"
        assert atom.module.name in {f"{atom.name[:5]}.o", SEVERAL}
        if not atom.guessed:
            assert atom.module.name == f"{atom.name[:5]}.o"
    assert_alone(list(functions.values()))


def assert_alone(atoms: Sequence[Atom]) -> None:
    """What nobody owns lies between the two libraries, or at an end; tables have no neighbour with a name here."""
    alone = [atom for atom in atoms if not atom.module]
    assert {atom.nobody for atom in alone} == {Nobody.STATICS}
    assert sum(atom.kind is PartKind.CODE for atom in alone) <= 4


@pytest.mark.builds
def test_what_a_link_leaves_beside_a_program_changes_no_byte_of_it(
    spoilt: Inv, project: Path, built: Built, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    """The same build, by a recipe that asks the linker for nothing."""
    seeded_cache.copy(tmp_path / "cache", all_but("curl:mini"))
    script = project / "recipes/curl/build.sh"
    text = script.read_text("utf-8")
    without = re.sub(r' -Wl,-Map=\S+ -Wl,--save-temps=resolution"', '"', text)
    without = "".join(line for line in without.splitlines(keepends=True) if "$OUT/side" not in line)
    assert without.count("side") < text.count("side") - 2
    script.write_text(without, "utf-8")
    done = spoilt("build", "curl:mini", "--no-pack")
    assert done.code == 0, done.stderr
    assert any(step.startswith("curl:mini") for step in done.started)
    (plain,) = read_manifest(tmp_path / "artifacts")
    assert plain.sha256 == built.sha256[plain.path]
    assert not (tmp_path / "artifacts" / "fill").exists()


@pytest.mark.builds
def test_the_map_is_the_same_from_every_engine(
    inv: Inv, seeded_cache: SeededCache, tmp_path: Path
) -> None:
    """On the host a step's paths are those of its own directory."""
    seeded_cache.copy(tmp_path / "cache", all_but("curl:mini"))
    done = inv("build", "curl:mini", "--no-pack", "--engine", "host")
    assert done.code == 0, done.stderr
    first = seeded_cache.outcome("curl:mini", Stage.BUILD)
    second = next(
        found
        for entry in Cache(tmp_path / "cache").entries()
        if (value := Cache(tmp_path / "cache").get_action(entry.name))
        and (found := Outcome.read(entry.name, value))
        and found.key == first.key
    )
    assert second.engine == "host"
    assert (second.output, dict(second.files)) == (first.output, dict(first.files))
    assert set(second.files) == {"curl", MAP, OWNERS}


def fill_of(built: Built, product: str) -> Fill:
    row = next(
        row
        for row in read_manifest(built.artifacts)
        if (row.product, row.packed) == (product, False)
    )
    found = read_fill(built.artifacts, Path(row.path).name, row.sha256)
    assert found is not None
    assert found.size == row.size
    return found


@pytest.mark.builds
def test_most_of_a_curl_has_an_owner(built: Built) -> None:
    fill = fill_of(built, "curl:https")
    libraries = {library.name: library for library in fill.libraries}
    expected = {"libcurl.a": "", "curl": "", "libmbedcrypto.a": "mbedtls", "libc.a": "musl"}
    assert {name: libraries[name].recipe for name in expected} == expected
    assert sum(one.size for one in fill.libraries) > 0.8 * fill.size
    assert all(str(BOX) not in one.name for lib in fill.libraries for one in lib.objects)
    (row,) = (one for one in read_manifest(built.artifacts) if one.path.endswith(fill.file))
    parts = {part.name: part for lib in fill.libraries for one in lib.objects for part in one.parts}
    assert parts["curl_ca_embed"].size == row.anchors
    assert parts["curl_ca_embed"].kind is PartKind.CONSTANTS
    if row.target is Target.AMD64:
        assert row.budget == 748_000 + (row.anchors or 0)
