"""The environment of a step: all that a build script is told, but for JOBS, which is of where it runs."""

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from builders.plan import SYSROOT, Stage, Step
from builders.toolchain import BOX, INSIDE, Toolchain
from recipes.model import Hardening


def environment(
    step: Step,
    toolchain: Toolchain,
    needs: Collection[str],
    *,
    root: PurePosixPath = BOX,
    tools: PurePosixPath = INSIDE,
) -> dict[str, str]:
    """Return the variables of the build scripts.

    ``needs`` are the names of `Step.needs`; ``root`` and ``tools`` are the sandbox and
    the toolchain as the step sees them.
    """
    target = step.target
    # A no-op where paths are fixed already; what makes the host engine's bytes the same.
    maps = f"-ffile-prefix-map={root}={BOX} -ffile-prefix-map={tools}={INSIDE}"
    compiling, linking = [*toolchain.compile_flags], [*toolchain.link_flags]
    for measure, flags in toolchain.hardening.items():
        wanted = measure not in step.recipe.unhardened and target not in flags.unsupported
        compiling += flags.compile_flags(wanted=wanted)
        linking += flags.link_flags(wanted=wanted)
    linking.append(f"-Wl,-z,common-page-size={target.machine.page}")
    link = " ".join(linking)
    if not target.machine.outlines:  # the machine outliner is not good for it
        link = link.replace("machine-outliner=always", "machine-outliner=never")
    sysroot = next((name for name in needs if name.partition(":")[0] == SYSROOT), "")
    return {
        "PATH": f"{tools}/bin:/usr/bin:/bin",
        "HOME": f"{root}/work",
        "TMPDIR": f"{root}/work",
        "LC_ALL": "C",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(step.release.epoch),
        "PKG_CONFIG": "/bin/false",
        "BOX": str(root),
        "TOOLCHAIN": str(tools),
        "SRC": f"{root}/src",
        "WORK": f"{root}/work",
        "OUT": f"{root}/out",
        "RECIPE": f"{root}/recipe",
        "VARIANT": step.variant.name,
        "VERSION": step.release.version,
        "TARGET": target.value,
        "TRIPLE": target.machine.triple,
        "ZIG_CPU": target.machine.cpu,
        "CLANG_TARGET": target.machine.clang,
        "PROCESSOR": target.machine.triple.partition("-")[0],
        "MUSL_ARCH": target.machine.musl_arch,
        "KERNEL_ARCH": target.machine.kernel_arch,
        "CFLAGS": " ".join([*compiling, maps]),
        "LDFLAGS": link,
        "LINKAGE": "-no-pie" if Hardening.PIE in step.recipe.unhardened else "-static-pie",
        "SWITCHES": " ".join(
            f"-D{key}={value}" for key, value in sorted(step.variant.switches.items())
        ),
        "METHOD": step.recipe.pack.value if step.stage is Stage.PACK else "",
        "SYSROOT": str(root / need_directory(sysroot)) if sysroot else "",
        # No more than letters and digits: ``NEED_CPYTHON_HOST`` for ``cpython:host``.
        **{
            f"NEED_{re.sub('[^A-Za-z0-9]', '_', name).upper()}": str(root / need_directory(name))
            for name in needs
        },
    }


def need_directory(name: str) -> PurePosixPath:
    """Where in its sandbox a step finds what it needs. No colon: it would end a path in PATH."""
    return PurePosixPath("needs", name.replace(":", "-"))
