"""Turn a compiled module into C, by upstream's mpy-tool.py: run by the MicroPython that was just built.

Usage: micropython freeze.py HEADER FILE.mpy > OUT.c

HEADER is the qstrdefs.preprocessed.h of the program that the module is linked into: names that the interpreter knows
already are not written again. The C is the same for every target: what depends on the machine is left to macros.
"""

import sys


class Future:
    """What upstream's script imports from __future__, which MicroPython has no such module for."""

    print_function = None


def main(header: str, module: str) -> None:
    """Write the C; upstream's functions print it."""
    sys.modules["__future__"] = Future  # type: ignore[assignment]
    home = sys.argv[0].rpartition("/")[0]
    sys.path += [f"{home}/src/tools", f"{home}/src/py"]
    makeqstrdata, tool = __import__("makeqstrdata"), __import__("mpy_tool")
    settings, names = makeqstrdata.parse_input_headers([header])
    tool.config.MICROPY_LONGINT_IMPL = tool.config.MICROPY_LONGINT_IMPL_MPZ
    tool.config.MPZ_DIG_SIZE = 16
    tool.config.native_arch = tool.MP_NATIVE_ARCH_NONE
    tool.config.MICROPY_QSTR_BYTES_IN_LEN = int(settings["BYTES_IN_LEN"])
    tool.config.MICROPY_QSTR_BYTES_IN_HASH = int(settings["BYTES_IN_HASH"])
    tool.global_qstrs = tool.GlobalQStrList()  # type: ignore[attr-defined]
    compiled = tool.read_mpy(module)
    tool.freeze_mpy(set(makeqstrdata.static_qstr_list_ident) | set(names.keys()), [compiled])


main(sys.argv[1], sys.argv[2])
