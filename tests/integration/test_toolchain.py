"""The compiler leaves nothing behind, and takes nothing from the machine or from where it ran before."""

import hashlib
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from builders.toolchain import Toolchain
from builders.tree import unpack_tree
from core.target import Target
from recipes.load import HERE
from tests.integration.seeded_cache import SeededCache

SOURCE = "int twice(int number) { return number * 2; }\nvoid _start(void) { for (;;) twice(1); }\n"


def zig(*words: str | Path, cwd: Path, env: Mapping[str, str]) -> None:
    program = Toolchain.installed(HERE).packages / "ziglang" / "zig"
    done = subprocess.run(
        [program, *words], cwd=cwd, env=dict(env), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def build(directory: Path, env: Mapping[str, str], *, target: Target) -> str:
    """Compile and link as `recipes/toolchain/cc` does; return the sha256 of the program."""
    directory.mkdir()
    (directory / "a.c").write_text(SOURCE, "utf-8")
    flags = [*target.machine.clang.split(), "--no-default-config", "-nostdinc", "-Oz"]
    zig("clang", *flags, "-c", "a.c", "-o", "a.o", cwd=directory, env=env)
    zig("ld.lld", "-static", "-s", "a.o", "-o", "a", cwd=directory, env=env)
    return hashlib.sha256((directory / "a").read_bytes()).hexdigest()


@pytest.mark.parametrize("target", [Target.AMD64, Target.ARM64], ids=str)
def test_the_compiler_has_no_cache_of_its_own(tmp_path: Path, target: Target) -> None:
    # Wherever zig would put a cache, there is a file in place of the directory: it would fail.
    home = tmp_path / "home"
    home.write_text("no directory", "utf-8")
    places = ("HOME", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
    nowhere = dict.fromkeys(places, f"{home}/none") | {"PATH": os.defpath}
    cached = {name: str(tmp_path / "cache") for name in places} | {"PATH": os.defpath}
    (tmp_path / "cache").mkdir()
    first = build(tmp_path / "one", nowhere, target=target)
    second = build(tmp_path / "two", cached, target=target)
    assert first == second
    assert list((tmp_path / "cache").iterdir()) == []
    made = sorted(path.name for path in (tmp_path / "two").iterdir())
    assert made == ["a", "a.c", "a.o"]


@pytest.mark.parametrize(("linkage", "start"), [("-static-pie", "rcrt1.o"), ("-no-pie", "crt1.o")])
@pytest.mark.parametrize("target", list(Target), ids=str)
def test_only_the_sysroot_is_looked_through_for_libraries(
    tmp_path: Path, target: Target, linkage: str, start: str
) -> None:
    toolchain, sysroot = tmp_path / "toolchain", tmp_path / "sysroot"
    for inside, path in Toolchain.installed(HERE).parts():
        (toolchain / inside).parent.mkdir(parents=True, exist_ok=True)
        (toolchain / inside).symlink_to(path)
    (sysroot / "lib").mkdir(parents=True)
    for name in ("crt1.o", "rcrt1.o", "crti.o", "crtn.o", "libc.a", "libcompiler_rt.a", "one.o"):
        (sysroot / "lib" / name).touch()
    settings = {
        "TOOLCHAIN": str(toolchain),
        "SYSROOT": str(sysroot),
        "CLANG_TARGET": target.machine.clang,
        "LINKAGE": linkage,
    }
    done = subprocess.run(
        [toolchain / "bin/cc", "-###", sysroot / "lib/one.o", "-lresolv", "-o", "one"],
        env={"PATH": os.defpath, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    (link,) = [line for line in done.stderr.splitlines() if "-lresolv" in line]
    words = shlex.split(link)
    directories = [Path(word[2:]) for word in words if word.startswith("-L")]
    assert f"--sysroot={sysroot}" in words
    assert all(directory.resolve().is_relative_to(sysroot) for directory in directories), (
        directories
    )
    named = {Path(word).resolve() for word in words[1:] if word.startswith("/")}
    assert {sysroot / "lib/libc.a", sysroot / "lib" / start} <= named
    assert len({path.name for path in named} & {"crt1.o", "rcrt1.o"}) == 1
    assert all(path.is_relative_to(sysroot) for path in named), named


@pytest.mark.builds
def test_nothing_is_called_before_a_program_has_relocated_itself(
    seeded_cache: SeededCache, tmp_path: Path
) -> None:
    """A call could be of anything that hardening adds: memset for zeros, what ends a program, a place in a table."""
    output = seeded_cache.cache.blob(seeded_cache.outcome("musl:base").output)
    assert output is not None
    unpack_tree(output, tmp_path / "musl")
    with (tmp_path / "musl/lib/rcrt1.o").open("rb") as file:
        start = ELFFile(file)
        symbols = start.get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)
        relocations = [
            symbols.get_symbol(relocation["r_info_sym"]).name
            for section in start.iter_sections()
            if isinstance(section, RelocationSection) and section.name.endswith(".text._start_c")
            for relocation in section.iter_relocations()
        ]
    assert relocations
    assert set(relocations) <= {"_DYNAMIC", "__dls2", ""}  # nameless: a section of its own data
