#!/bin/sh
# What libidn2 calls of it, and no more. In: SRC, WORK, OUT, RECIPE, VARIANT, CFLAGS, LDFLAGS; for the library
# NEED_LIBUNISTRING_TABLES.
#   tables: OUT/tables.h, made by a program that runs on the building machine
#   lib: OUT/lib and OUT/include
set -eu
mkdir -p "$WORK/include/unistring"
cd "$WORK"
# Its headers are templates, for systems with DLLs or without C99's headers.
for name in unictype uninorm unistr unitypes; do
    sed -e 's/@HAVE_UNISTRING_WOE32DLL_H@/0/' -e 's/@[A-Z0-9_]*_DLL_VARIABLE@//' \
        "$SRC/lib/$name.in.h" >"include/$name.h"
done
cp "$SRC/lib/unistring/cdefs.h" "$SRC/lib/unistring/inline.h" include/unistring/
for name in stdbool stdint; do echo "#include <$name.h>" >"include/unistring/$name.h"; done
echo '#define LIBUNISTRING_DLL_VARIABLE' >include/unistring/woe32dll.h # asked for by 1.0
printf '%s\n' "#define _GL_CONFIG_H_INCLUDED 1" "#define _GL_ATTRIBUTE_FALLTHROUGH" >config.h
CFLAGS="$CFLAGS -I. -Iinclude -I$SRC/lib"
case $VARIANT in
tables)
    set --
    for name in unictype/bidi_of unictype/categ_M unictype/categ_of unictype/categ_test unictype/combiningclass \
        unictype/joiningtype_of unictype/scripts uninorm/canonical-decomposition uninorm/composition \
        uninorm/decomposition-table; do
        set -- "$@" "$SRC/lib/$name.c"
    done
    # shellcheck disable=SC2086
    cc $CFLAGS -c "$RECIPE/tables.c" "$@"
    # shellcheck disable=SC2086
    cc $LDFLAGS -o make-tables ./*.o
    ./make-tables >"$OUT/tables.h"
    ;;
lib)
    mkdir -p "$OUT/lib"
    set --
    for name in uninorm/decompose-internal uninorm/nfc uninorm/nfd uninorm/u32-normalize unistr/u32-cmp unistr/u32-cpy \
        unistr/u32-cpy-alloc unistr/u32-strlen unistr/u32-to-u8 unistr/u8-mbtouc-aux unistr/u8-mbtoucr unistr/u8-strlen \
        unistr/u8-to-u32 unistr/u8-uctomb-aux; do
        set -- "$@" "$SRC/lib/$name.c"
    done
    # shellcheck disable=SC2086
    cc $CFLAGS "-I$NEED_LIBUNISTRING_TABLES" -c "$RECIPE/compact.c" "$@"
    ar rcsD "$OUT/lib/libunistring.a" ./*.o
    cp -R include "$OUT/"
    ;;
esac
