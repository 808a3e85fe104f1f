"""Bytes of each check of the probe: its functions as MicroPython's bytecode, by the names that freezing gives to them.

All modules were merged into one, in which every name stands once, so a function's name says which module it is of.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from records.attribute import Atom
from records.fill import Check

OBJECT: Final = "frozen.o"
SHARED: Final = "(shared)"
NOTE: Final = (
    "bytecode of each check's own module; constants, names, and how modules begin, are no check's"
)

_CHECK: Final = "_check"
_FROZEN = re.compile(
    r"(?:fun_data|proto_fun|children|raw_code|const_obj|const_str|const_(?:obj|qstr)_table_data)_probe_?(.*)"
)
_FUNCTION = re.compile(r"(?:fun_data|proto_fun|children|raw_code)_probe_(.+)")


def claim(name: str) -> str | None:
    """Return the object that a symbol is of, when freezing gave it its name."""
    return OBJECT if _FROZEN.fullmatch(name) else None


def check_sizes(atoms: Iterable[Atom], sources: Iterable[Path]) -> tuple[Check, ...]:
    """Return the bytes of every check, the largest first, and at the end of what several share.

    ``sources`` are the modules that were frozen. Raises OSError, and SyntaxError for what is no Python.
    """
    modules = names_of({path.stem: path.read_text("utf-8") for path in sources})
    sizes: Counter[str] = Counter()
    for atom in atoms:
        if found := _FUNCTION.fullmatch(atom.name):
            module = module_of(found[1], modules)
            check = module.removesuffix(_CHECK) if module.endswith(_CHECK) else SHARED
            sizes[check] += atom.size
    ordered = sorted(sizes.items(), key=lambda row: (row[0] == SHARED, -row[1], row[0]))
    return tuple(Check(name=name, size=size) for name, size in ordered)


def names_of(sources: Mapping[str, str]) -> dict[str, str]:
    """Return the module of each function and class of these texts. Raises SyntaxError."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {
        thing.name: module
        for module, text in sorted(sources.items())
        for thing in ast.parse(text).body
        if isinstance(thing, kinds)
    }


def module_of(name: str, modules: Mapping[str, str]) -> str:
    """Return the module of a function; of ``Stream_send__lt_lambda_gt_2`` that of ``Stream``. Empty: it is of none."""
    while name and name not in modules:
        name = name.rpartition("_")[0]
    return modules.get(name, "")
