"""Whether an image has the loader and the libraries that its programs need, as a loader in it would find."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.fixtures.make_elf import (
    AMD64,
    ARM64,
    DF_1_PIE,
    DT_FLAGS_1,
    DT_NEEDED,
    DT_RPATH,
    DT_RUNPATH,
    DT_SONAME,
    I386,
    Machine,
    Program,
)
from tests.unit.verify.images import Entry, LayoutMaker
from verify.inputs.archive import Scratch
from verify.inputs.folder import DirectoryRoot
from verify.inputs.open import open_layout
from verify.loader import Loader
from verify.policy import find_policy
from verify.rights import NO_RIGHTS
from verify.rules import Look, verify_file
from verify.verdict import Verdict

GLIBC, MUSL = "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"
DEBIAN = "usr/lib/x86_64-linux-gnu"


def program(
    *needed: str,
    loader: str = GLIBC,
    machine: Machine = AMD64,
    paths: Mapping[str, str] | None = None,
) -> bytes:
    tags = {"rpath": DT_RPATH, "runpath": DT_RUNPATH}
    dynamic = tuple((DT_NEEDED, name) for name in needed)
    dynamic += tuple((tags[key], value) for key, value in (paths or {}).items())
    return Program(
        type=3,
        base=0,
        machine=machine,
        interpreter=loader,
        dynamic=(*dynamic, (DT_FLAGS_1, DF_1_PIE)),
    ).build()


def library(
    *needed: str, machine: Machine = AMD64, paths: Mapping[str, str] | None = None
) -> bytes:
    tags = {"rpath": DT_RPATH, "runpath": DT_RUNPATH}
    dynamic = ((DT_SONAME, "it.so"), *((DT_NEEDED, name) for name in needed))
    dynamic += tuple((tags[key], value) for key, value in (paths or {}).items())
    return Program(type=3, base=0, machine=machine, dynamic=dynamic, entry=0).build()


LOADER = library()
DISTROLESS = {
    "lib64/ld-linux-x86-64.so.2": LOADER,
    f"{DEBIAN}/libc.so.6": library("ld-linux-x86-64.so.2"),
}
LINKS = {"lib": "usr/lib"}


def judged(
    tmp_path: Path, files: Mapping[str, bytes], links: Mapping[str, str] = LINKS
) -> dict[str, Verdict]:
    """Judge every file of an image by the policy minimal, by its path."""
    directory = Path(mkdtemp(dir=tmp_path))
    (directory / "scratch").mkdir()
    entries = [Entry(name=name, link=link) for name, link in links.items()]
    entries += [Entry(name=name, data=data) for name, data in files.items()]
    maker = LayoutMaker()
    maker.image([entries])
    scratch = Scratch(directory=directory / "scratch")
    (batch,) = open_layout(maker.write(directory / "oci"), scratch, name="it")
    loader, policy = batch.loader, find_policy("minimal")
    assert loader
    verdicts = {}
    for subject in batch.subjects:
        where = subject.where
        look = Look(rights=NO_RIGHTS, place=partial(loader.place, where=where))
        verdicts[where] = verify_file(subject.path, policy, look)
    return verdicts


def said(verdict: Verdict) -> str:
    return "; ".join(finding.message for finding in verdict.findings)


def test_a_distroless_image_has_what_its_program_needs(tmp_path: Path) -> None:
    verdicts = judged(tmp_path, {**DISTROLESS, "app": program("libc.so.6")})
    assert all(verdicts.values())
    assert all(not verdict.findings for verdict in verdicts.values())


def test_a_program_without_its_loader_is_refused(tmp_path: Path) -> None:
    verdict = judged(tmp_path, {"app": program("libc.so.6")})["/app"]
    assert not verdict
    assert "which is not there" in said(verdict)
    assert "needs libc.so.6, not to be found in its root" in said(verdict)


@pytest.mark.parametrize(
    ("loader", "mode", "reason"),
    [
        (b"#!/bin/sh\n", 0o755, "is no ELF file"),
        (library(machine=ARM64), 0o755, "is for EM_AARCH64, 64 bits"),
        (library(machine=I386), 0o755, "is for EM_386, 32 bits"),
    ],
)
def test_a_loader_that_is_none_for_the_program(
    tmp_path: Path, loader: bytes, mode: int, reason: str
) -> None:
    files = {**DISTROLESS, "lib64/ld-linux-x86-64.so.2": loader, "app": program()}
    assert reason in said(judged(tmp_path, files)["/app"])


def test_what_a_library_needs_is_looked_for_too(tmp_path: Path) -> None:
    files = {
        **DISTROLESS,
        "app": program("liba.so"),
        f"{DEBIAN}/liba.so": library("libb.so"),
        f"{DEBIAN}/libb.so": library("libc.so.6", "libgone.so.1"),
    }
    verdicts = judged(tmp_path, files)
    assert said(verdicts["/app"]) == "needs libgone.so.1, not to be found in its root"
    lacking = verdicts[f"/{DEBIAN}/libb.so"]
    assert lacking
    assert [finding.rule for finding in lacking.findings] == ["library-needs"]


@pytest.mark.parametrize(
    ("paths", "place", "found"),
    [
        ({"runpath": "$ORIGIN/../lib"}, "opt/lib", True),
        ({"runpath": "${ORIGIN}/../lib"}, "opt/lib", True),
        ({"rpath": "/opt/x:/opt/lib"}, "opt/lib", True),
        ({"runpath": "/opt/$LIB"}, "opt/lib64", True),
        ({"runpath": "/opt/other"}, "opt/lib", False),
        ({"runpath": "../lib"}, "opt/lib", False),
        ({}, "opt/lib", False),
        ({}, "lib64", True),
        ({}, "usr/lib", True),
        ({}, DEBIAN, True),
        ({}, "usr/local/lib", False),
    ],
)
def test_libraries_are_looked_for_where_glibc_looks(
    tmp_path: Path, paths: dict[str, str], place: str, found: bool
) -> None:
    files = {
        **DISTROLESS,
        "opt/bin/app": program("liba.so", paths=paths),
        f"{place}/liba.so": library(),
    }
    assert bool(judged(tmp_path, files)["/opt/bin/app"]) is found


def test_a_needed_path_is_taken_as_it_is(tmp_path: Path) -> None:
    files = {
        **DISTROLESS,
        "opt/bin/app": program("$ORIGIN/../lib/liba.so"),
        "opt/lib/liba.so": library(),
    }
    assert judged(tmp_path, files)["/opt/bin/app"]
    assert not judged(tmp_path, {**DISTROLESS, "opt/bin/app": program("/opt/liba.so")})[
        "/opt/bin/app"
    ]


@pytest.mark.parametrize(("by", "found"), [("rpath", True), ("runpath", False)])
def test_only_rpath_counts_for_what_a_library_needs(tmp_path: Path, by: str, found: bool) -> None:
    files = {
        **DISTROLESS,
        "app": program("liba.so", paths={by: "/opt"}),
        "opt/liba.so": library("libb.so"),
        "opt/libb.so": library(),
    }
    assert bool(judged(tmp_path, files)["/app"]) is found


def test_configured_directories_count_where_there_is_a_cache_of_them(tmp_path: Path) -> None:
    files = {
        **DISTROLESS,
        "app": program("liba.so"),
        "opt/a/liba.so": library(),
        "etc/ld.so.conf": b"include /etc/ld.so.conf.d/*.conf\n",
        "etc/ld.so.conf.d/a.conf": b"# ours\n/opt/a # here\n",
    }
    assert not judged(tmp_path, files)["/app"]
    assert judged(tmp_path, {**files, "etc/ld.so.cache": b"glibc-ld.so.cache1.1"})["/app"]


def test_a_library_of_another_machine_is_passed_over(tmp_path: Path) -> None:
    files = {**DISTROLESS, "app": program("liba.so"), f"{DEBIAN}/liba.so": library(machine=ARM64)}
    assert not judged(tmp_path, files)["/app"]
    assert judged(tmp_path, {**files, "lib64/liba.so": library()})["/app"]


@pytest.mark.parametrize(
    ("place", "configured", "found"),
    [
        ("usr/lib", None, True),
        ("usr/local/lib", None, True),
        ("opt", None, False),
        ("opt", b"/opt:/lib\n", True),
        ("usr/local/lib", b"/lib\n/usr/lib\n", False),
    ],
)
def test_libraries_are_looked_for_where_musl_looks(
    tmp_path: Path, place: str, configured: bytes | None, found: bool
) -> None:
    files = {
        "usr/lib/ld-musl-x86_64.so.1": LOADER,
        "app": program("libc.musl-x86_64.so.1", "libc.so", "liba.so", loader=MUSL),
        f"{place}/liba.so": library("libc.so"),
    }
    if configured is not None:
        files["etc/ld-musl-x86_64.path"] = configured
    assert bool(judged(tmp_path, files)["/app"]) is found


def test_libraries_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    files = {
        **DISTROLESS,
        "app": program("liba.so"),
        f"{DEBIAN}/liba.so": library("libb.so"),
        f"{DEBIAN}/libb.so": library("liba.so", "libb.so"),
    }
    assert judged(tmp_path, files)["/app"]


def test_a_static_program_and_what_nothing_starts_need_nothing(tmp_path: Path) -> None:
    static = Program().build()
    module = replace(Program(), type=1, base=0, entry=0).build()
    verdicts = judged(tmp_path, {"app": static, "lib/a.so": library(), "lib/m.ko": module})
    assert all(verdicts.values())


def test_a_directory_is_a_root_and_nothing_outside_it_counts(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name, data in {**DISTROLESS, "app": program("libc.so.6", "liba.so")}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755)
    (root / "lib").symlink_to("/usr/lib")  # the root's own
    (tmp_path / "liba.so").write_bytes(library())
    (root / DEBIAN / "liba.so").symlink_to(f"../../../../../../{tmp_path}/liba.so")
    loader, policy = Loader(root=DirectoryRoot(directory=root)), find_policy("minimal")
    look = Look(place=lambda facts: loader.place(facts, "/app"))
    assert (
        said(verify_file(root / "app", policy, look))
        == "needs liba.so, not to be found in its root"
    )
    (root / DEBIAN / "liba.so").unlink()
    (root / DEBIAN / "liba.so").write_bytes(library())
    assert verify_file(root / "app", policy, look)


def test_the_programs_of_this_machine_find_what_they_need() -> None:
    programs = [Path("/bin/ls"), Path("/usr/bin/env"), Path("/usr/bin/python3").resolve()]
    loader = Loader(root=DirectoryRoot(directory=Path("/")))
    for path in programs:
        if not path.exists():
            continue
        where = str(path.resolve())
        look = Look(place=partial(loader.place, where=where))
        assert verify_file(path, find_policy("minimal"), look), path
