"""What a static interpreter without compiler and importlib asks of Nuitka. Each edit must apply exactly once.

Usage: edits.py NUITKA
"""

import sys
from pathlib import Path

EDITS = (
    # Performance counters of the compiler itself, by ctypes, which a static interpreter has not got.
    ("utils/Profiling.py", "if not isLinux():\n", "if True:\n"),
    # The runtime makes `inspect` know compiled functions, importing it at every start: the probe has no `inspect`.
    (
        "build/static_src/InspectPatcher.c",
        "void patchInspectModule(PyThreadState *tstate) {\n",
        "void patchInspectModule(PyThreadState *tstate) {\n    return;\n",
    ),
    # The runtime compiles an empty function at start, as a pattern for its code objects: ours comes compiled.
    (
        "build/static_src/CompiledFrameType.c",
        """Py_CompileString(
            "def empty(): raise RuntimeError('Compiled function bytecode used')", "<exec>", Py_file_input);""",
        "NULL;",
    ),
    (
        "build/static_src/CompiledFrameType.c",
        'PyImport_ExecCodeModule("nuitka_empty_function", empty_code_module_object)',
        'PyImport_AddModule("os")',
    ),
)


def main(folder: Path) -> None:
    """Apply all edits."""
    for name, old, new in EDITS:
        path = folder / name
        text = path.read_text("utf-8")
        if text.count(old) != 1:
            sys.exit(f"edits.py: {name} has {text.count(old)} times, not once:\n{old}")
        path.write_text(text.replace(old, new), "utf-8")


main(Path(sys.argv[1]))
