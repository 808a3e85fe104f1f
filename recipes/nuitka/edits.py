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
    # The constants are written once for all targets, so in one byte order: numbers in them are little-endian.
    (
        "tools/data_composer/DataComposer.py",
        'struct.pack("d", constant_value)',
        'struct.pack("<d", constant_value)',
    ),
    (
        "tools/data_composer/DataComposer.py",
        'struct.pack("dd", constant_value.real, constant_value.imag)',
        'struct.pack("<dd", constant_value.real, constant_value.imag)',
    ),
    ("tools/data_composer/DataComposer.py", 'struct.pack("H", count)', 'struct.pack("<H", count)'),
    (
        "tools/data_composer/DataComposer.py",
        'struct.pack("I", len(part))',
        'struct.pack("<I", len(part))',
    ),
    *(
        (
            "build/static_src/HelpersConstantsBlob.c",
            f'    STATIC_ASSERT(sizeof(value) == {size}, "uint{size * 8}_t must be {size} bytes");\n',
            "#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__\n"
            f"    value = __builtin_bswap{size * 8}(value);\n"
            "#endif\n",
        )
        for size in (2, 4)
    ),
    (
        "build/static_src/HelpersConstantsBlob.c",
        "    double size;\n\n    memcpy(&size, *data, sizeof(size));\n",
        "    uint64_t bits;\n    double size;\n\n    memcpy(&bits, *data, sizeof(bits));\n"
        "#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__\n    bits = __builtin_bswap64(bits);\n#endif\n"
        "    memcpy(&size, &bits, sizeof(size));\n",
    ),
)


def main(directory: Path) -> None:
    """Apply all edits."""
    for name, old, new in EDITS:
        path = directory / name
        text = path.read_text("utf-8")
        if text.count(old) != 1:
            sys.exit(f"edits.py: {name} has {text.count(old)} times, not once:\n{old}")
        path.write_text(text.replace(old, new), "utf-8")


main(Path(sys.argv[1]))
