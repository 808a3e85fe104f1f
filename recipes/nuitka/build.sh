#!/bin/sh
# Nuitka as a directory to run from, edited for a static interpreter. In: SRC, OUT, RECIPE, NEED_CPYTHON_HOST.
set -eu
PYTHONHOME=$NEED_CPYTHON_HOST "$NEED_CPYTHON_HOST/python" -I -S "$RECIPE/edits.py" "$SRC/nuitka"
mkdir -p "$OUT/stubs"
cp -R "$SRC/nuitka" "$OUT/nuitka"
cp -R "$RECIPE/stubs/." "$OUT/stubs/"
: >"$OUT/stubs/_ctypes.py"
