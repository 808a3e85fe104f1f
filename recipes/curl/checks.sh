#!/bin/sh
# Ask the platform questions once per (curl, target, toolchain): a CMake initial cache for all variants.
# In: SRC, WORK, OUT, RECIPE. Out: OUT/checks.cmake
set -eu
# shellcheck source=recipes/curl/switches.sh
. "$RECIPE/switches.sh"
# shellcheck disable=SC2086
configure -S "$SRC" -B "$WORK/checks" $common -DCURL_ENABLE_SSL=OFF
sed -nE 's/^((HAVE|SIZEOF)[A-Za-z0-9_]*):INTERNAL=(.*)$/set(\1 "\3" CACHE INTERNAL "")/p' \
    "$WORK/checks/CMakeCache.txt" | sort >"$OUT/checks.cmake"
test -s "$OUT/checks.cmake"
