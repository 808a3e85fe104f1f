#!/bin/sh
# The library with the list of recipes/publicsuffix built in. In: SRC, WORK, OUT, VERSION, SOURCE_DATE_EPOCH, CFLAGS,
# NEED_PUBLICSUFFIX, NEED_CPYTHON_HOST.
set -eu
mkdir -p "$OUT/lib" "$OUT/include"
cd "$WORK"
cp "$NEED_PUBLICSUFFIX/public_suffix_list.dat" .
touch -d "@$SOURCE_DATE_EPOCH" public_suffix_list.dat # its time becomes part of the code
PYTHONHOME=$NEED_CPYTHON_HOST PYTHONDONTWRITEBYTECODE=1 "$NEED_CPYTHON_HOST/python" -I -S "$SRC/src/psl-make-dafsa" \
    --output-format=cxx+ public_suffix_list.dat suffixes_dafsa.h
IFS=. read -r major minor patch <<END
$VERSION
END
sed -e "s/@LIBPSL_VERSION@/$VERSION/" -e "s/@LIBPSL_VERSION_MAJOR@/$major/" -e "s/@LIBPSL_VERSION_MINOR@/$minor/" \
    -e "s/@LIBPSL_VERSION_PATCH@/$patch/" \
    -e "s/@LIBPSL_VERSION_NUMBER@/$(printf '0x%02x%02x%02x' "$major" "$minor" "$patch")/" \
    "$SRC/include/libpsl.h.in" >"$OUT/include/libpsl.h"
# Without a library for international names: curl asks about names that are ASCII already.
# shellcheck disable=SC2086
cc $CFLAGS -DENABLE_BUILTIN -DPSL_STATIC "-DPACKAGE_VERSION=\"$VERSION\"" -I. "-I$OUT/include" \
    -c "$SRC/src/psl.c" "$SRC/src/lookup_string_in_fixed_set.c"
ar rcsD "$OUT/lib/libpsl.a" ./*.o
