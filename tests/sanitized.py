"""Build the probe of this machine with AddressSanitizer and UBSan: not shipped, run by the tests of hostile servers.

``python -m tests.sanitized DIRECTORY`` makes, by the recipes' own scripts and ``apt-get install -y clang``:

``mini`` and ``full``
    as they are shipped, with their own heap; the sanitizers see the C code, the stack, and TLS's memory.
``mini-malloc`` and ``full-malloc``
    each object is malloc's own, so that AddressSanitizer sees where it ends. Nothing is freed before the end.

A report makes the exit code 99. ``FROMSCRATCH_TEST_PROBE=DIRECTORY/full`` lets the behaviour tests and the campaign
``probe-frozen`` run one of them in the place of all others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from builders.sources.unpack import unpack
from core.progress import Report
from core.settings import Settings
from flow.context import Context
from flow.fetch import fetch_sources
from recipes.load import HERE
from recipes.model import Recipe

NAMES = ("mini", "full", "mini-malloc", "full-malloc")
EXIT_CODE = 99
# Not looked for: NULL + 0, and NULL for the bytes of an empty copy. MicroPython is full of both, every compiler knows
# what is meant, and C2y allows them: https://www.open-std.org/jtc1/sc22/wg14/www/docs/n3322.pdf
# -fgnuc-version: clang calls itself GCC 4.2, and only from 4.8 on does py/gc.c except its search of the stack.
FLAGS = (
    "-O1 -g -w -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
    " -fno-sanitize=pointer-overflow,nonnull-attribute -fgnuc-version=4.8"
)
# The conservative collector looks for objects on the real stack. Nothing frees what lives until the end.
OPTIONS = f"""
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{{
    return "exitcode={EXIT_CODE}:detect_leaks=0:detect_stack_use_after_return=0:allocator_may_return_null=1";
}}
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{{
    return "exitcode={EXIT_CODE}:print_stacktrace=1";
}}
"""


def build(directory: Path) -> None:
    """Make all of `NAMES` in ``directory``."""
    compiler = shutil.which("clang")
    if compiler is None:
        sys.exit("clang is not installed: apt-get install -y clang")
    workshop = Workshop(directory, compiler)
    micropython = workshop.run("micropython", "")
    musl = {"NEED_MUSL": "", "NEED_MICROPYTHON": str(micropython)}
    frozen = workshop.run("probe", "frozen", musl)
    anchors = workshop.run("cacert", "anchors")
    lookup = workshop.run("cacert", "lookup")
    needs = {
        **musl,
        "NEED_PROBE_FROZEN": str(frozen),
        "NEED_CACERT_ANCHORS": str(anchors),
        "NEED_CACERT_LOOKUP": str(lookup),
        "NEED_MBEDTLS": str(workshop.mbedtls()),
    }
    for name in NAMES:
        variant, _, heap = name.partition("-")
        more = f"{FLAGS} -DMICROPY_ENABLE_GC=0" if heap else FLAGS
        made = workshop.run("probe", variant, needs, name=name, flags=more)
        (made / "probe").replace(directory / name)


class Workshop:
    """A directory where recipes' scripts run outside of any sandbox, with a compiler of this machine."""

    def __init__(self, directory: Path, compiler: str) -> None:
        self.directory = directory.resolve()
        self.compiler = compiler
        self.context = Context(settings=Settings.read({}), report=Report())
        tools = self.directory / "bin"
        shutil.rmtree(self.directory, ignore_errors=True)
        tools.mkdir(parents=True)
        (tools / "cc").symlink_to(compiler)

    def run(
        self,
        recipe: str,
        variant: str,
        needs: Mapping[str, str] | None = None,
        *,
        name: str = "",
        flags: str = "-O1 -w ",
    ) -> Path:
        """Run a recipe's script; return what it put into ``OUT``."""
        box = self.directory / f"{recipe}-{name or variant}"
        for part in ("work", "out"):
            (box / part).mkdir(parents=True)
        (box / "work" / "options.c").write_text(OPTIONS)
        if "sanitize" in flags:
            self.call(["cc", "-O1", "-c", "options.c", "-o", "options.o"], box / "work")
        found = self.context.recipes[recipe]
        environment = {
            "BOX": str(box),
            "SRC": str(self.source(found, box)),
            "WORK": str(box / "work"),
            "OUT": str(box / "out"),
            "RECIPE": str(found.directory),
            "VARIANT": variant,
            "VERSION": found.releases[0].version,
            "CFLAGS": flags,
            "LDFLAGS": "-lm -fsanitize=address,undefined" if "sanitize" in flags else "-lm",
            **(needs or {}),
        }
        self.call(["sh", str(found.script)], box / "work", environment)
        return box / "out"

    def source(self, recipe: Recipe, box: Path) -> Path:
        """Have the source of a recipe's newest release."""
        if recipe.local:
            return recipe.local
        _, fetched = fetch_sources(self.context, [recipe])[recipe.name]
        return unpack(fetched.path, box / "src", label=recipe.name)

    def mbedtls(self) -> Path:
        """Compile mbedTLS, which its recipe does with CMake and the target's flags."""
        recipe = self.context.recipes["mbedtls"]
        box = self.directory / "mbedtls"
        box.mkdir()
        source = self.source(recipe, box)
        patches = map(str, sorted(recipe.directory.glob("*.patch")))
        apply = ["awk", "-v", f"source={source}", "-f", str(HERE / "toolchain" / "patch.awk")]
        self.call([*apply, *patches], box)
        (box / "out" / "lib").mkdir(parents=True)
        shutil.copytree(source / "include", box / "out" / "include")
        shutil.copy(recipe.directory / "config.h", box / "out/include/mbedtls/fromscratch.h")
        files = [*sorted((source / "library").glob("*.c")), recipe.directory / "getrandom.c"]
        define = """'-DMBEDTLS_CONFIG_FILE="mbedtls/fromscratch.h"'"""
        rules = ["rule cc", f"  command = cc {FLAGS} {define} -I{box}/out/include -c $in -o $out"]
        rules += ["rule ar", "  command = ar rcs $out $in"]
        rules += [f"build {file.stem}.o: cc {file}" for file in files]
        rules += [f"build out/lib/libmbedcrypto.a: ar {' '.join(f'{f.stem}.o' for f in files)}"]
        rules += ["build out/lib/libmbedtls.a: ar", "build out/lib/libmbedx509.a: ar"]
        (box / "build.ninja").write_text("\n".join([*rules, ""]))
        self.call(["ninja"], box)
        return box / "out"

    def call(
        self, words: list[str], directory: Path, more: Mapping[str, str] | None = None
    ) -> None:
        path = f"{self.directory}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "LC_ALL": "C", "HOME": str(directory), **(more or {})}
        done = subprocess.run(
            words, cwd=directory, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(words)}: {done.stdout[-4000:]}{done.stderr[-4000:]}")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
    print(*(Path(sys.argv[1]) / name for name in NAMES), sep="\n")
