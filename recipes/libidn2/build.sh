#!/bin/sh
# In: SRC, WORK, OUT, RECIPE, VARIANT, VERSION, CFLAGS, LDFLAGS; for the library NEED_LIBUNISTRING_LIB and
# NEED_LIBIDN2_TABLES.
#   tables: OUT/data.c and OUT/tr46map_data.c, made of Unicode's files by programs that run on the building machine
#   lib: OUT/lib and OUT/include
set -eu
cd "$WORK"
IFS=. read -r major minor patch <<END
$VERSION
END
sed -e "s/@VERSION@/$VERSION/" -e "s/@NUMBER_VERSION@/$(printf '0x%02x%02x%04x' "$major" "$minor" "$patch")/" \
    -e "s/@MAJOR_VERSION@/$major/" -e "s/@MINOR_VERSION@/$minor/" -e "s/@PATCH_VERSION@/$patch/" "$SRC/lib/idn2.h.in" >idn2.h
: >config.h
: >version-etc.h
case $VARIANT in
tables)
    for name in gendata gentr46map; do
        # shellcheck disable=SC2086
        cc $CFLAGS $LDFLAGS -DSRCDIR='"."' -I. "$SRC/lib/$name.c" -o "$name"
    done
    cd "$SRC/lib"
    "$WORK/gendata" <Idna2008.txt >"$OUT/data.c"
    "$WORK/gentr46map" >"$OUT/tr46map_data.c"
    ;;
lib)
    mkdir -p "$OUT/lib" "$OUT/include"
    set --
    for name in bidi context decode error free idna lookup punycode tables tr46map version; do
        set -- "$@" "$SRC/lib/$name.c"
    done
    # shellcheck disable=SC2086
    cc $CFLAGS -D_GNU_SOURCE -D_GL_ATTRIBUTE_CONST= -DHAVE_LIBUNISTRING -I. "-I$RECIPE" "-I$NEED_LIBIDN2_TABLES" \
        "-I$NEED_LIBUNISTRING_LIB/include" "-I$SRC/lib" -c "$@" "$NEED_LIBIDN2_TABLES/data.c"
    ar rcsD "$OUT/lib/libidn2.a" ./*.o
    cp idn2.h "$OUT/include/"
    ;;
esac
