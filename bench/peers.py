"""What people use in our programs' place, as far as it is there, and the least that the work can cost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.target import Target
from flow.context import ROOT


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A program that does a health check. Empty words: it does none of that kind."""

    name: str
    http: tuple[str, ...] = ()
    https: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    """It believes by the anchors inside."""
    refused: tuple[str, ...] = ()
    """It looks at the certificate, believes none of the authorities that it has by itself, and ends with ``code``."""
    code: int = 1
    says: str = ""
    """What it prints then, so that nothing else that fails is taken for it."""
    plain: Path | None = None
    packed: Path | None = None
    why: str = ""
    """Why it is not there at all."""


TWINS = ("C floor", "Rust std twin", "Go net/http twin")
"""What is compiled for the comparison alone."""


def others(urls: dict[str, str], directory: Path, *, compile_: bool = True) -> Iterator[Rival]:
    """What people use instead, as far as it is there; programs that must be compiled first, with ``compile_``."""
    http, https = urls["http"], urls["https"]
    name, machine_s = "Debian's curl", shutil.which("curl")
    if machine_s:
        words = (machine_s, "-sf", "--cacert", urls["ca"], https)
        refused = (machine_s, "-sS", https)
        get = (machine_s, "-sf", http)
        yield Rival(name=name, http=get, https=words, refused=refused, code=60, says="certificate")
    else:
        yield absent(name, "curl")
    name, machine_s = "busybox wget", shutil.which("busybox")
    if machine_s:
        yield Rival(name=name, http=(machine_s, "wget", "-q", "-O", os.devnull, http))
    else:
        yield absent(name, "busybox-static")
    if not compile_:
        yield from (Rival(name=name, why="--quick") for name in TWINS)
        return
    name = "C floor"
    if floor := c_floor(directory):
        host, _, port = http.removeprefix("http://").partition("/")[0].partition(":")
        yield Rival(name=name, http=(str(floor), host, port, "/health"), plain=floor)
    else:
        yield Rival(name=name, why="it is for linux/amd64")
    name = "Rust std twin"
    if twin := rust_twin(directory):
        yield Rival(name=name, http=(str(twin), http), plain=twin)
    else:
        yield absent(name, "rustc")
    name = "Go net/http twin"
    if twin := go_twin(directory):
        yield Rival(
            name=name,
            http=(str(twin), http),
            https=(str(twin), https, urls["ca"]),
            refused=(str(twin), https),
            says="certificate signed by unknown authority",
            plain=twin,
        )
    else:
        yield absent(name, "golang-go")


def absent(name: str, package: str) -> Rival:
    """A program that is not there."""
    return Rival(name=name, why=f"not installed: apt-get install -y {package}")


def go_twin(directory: Path) -> Path | None:
    """The same in Go, static, when Go is installed."""
    go = shutil.which("go")
    if go is None:
        return None
    source, program = directory / "main.go", directory / "twin"
    shutil.copyfile(ROOT / "bench" / "twin.go", source)
    words = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(program), str(source)]
    mine = {"CGO_ENABLED": "0", "GOCACHE": str(directory / "cache"), "GOFLAGS": ""}
    subprocess.run(words, cwd=directory, env={**os.environ, **mine}, check=True)
    return program


def rust_twin(directory: Path) -> Path | None:
    """The same in Rust, static, when Rust is installed."""
    rust = shutil.which("rustc")
    if rust is None:
        return None
    program = directory / "twin-rust"
    flags = ["-O", "-Cstrip=symbols", "-Cpanic=abort", "-Ctarget-feature=+crt-static"]
    words = [rust, *flags, "-o", str(program), str(ROOT / "bench" / "twin.rs")]
    subprocess.run(words, cwd=directory, check=True)
    return program


def c_floor(directory: Path) -> Path | None:
    """The least in C, without a C library, by the compiler that builds our programs, too."""
    if Target.native() is not Target.AMD64:
        return None
    program = directory / "floor"
    flags = ["-target", "x86_64-linux-none", "-Os", "-static", "-nostdlib", "-ffreestanding", "-s"]
    words = [sys.executable, "-m", "ziglang", "cc", *flags, "-fno-stack-protector"]
    mine = {
        "ZIG_GLOBAL_CACHE_DIR": str(directory / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(directory / "zig"),
    }
    subprocess.run(
        [*words, "-o", str(program), str(ROOT / "bench" / "floor.c")],
        cwd=directory,
        env={**os.environ, **mine},
        check=True,
    )
    return program
