#!/bin/sh
# mbedTLS as three static libraries. In: TOOLCHAIN, SRC, WORK, OUT, RECIPE.
# OUT/include/mbedtls/fromscratch.h is the configuration: whoever includes mbedTLS must set MBEDTLS_CONFIG_FILE to it.
set -eu
awk -v source="$SRC" -f "$TOOLCHAIN/bin/patch.awk" "$RECIPE/client.patch" "$RECIPE/key_update.patch"
cp "$RECIPE/config.h" "$SRC/include/mbedtls/fromscratch.h"
# Not one unit per library: several files define static helpers of the same name.
configure -S "$SRC" -B "$WORK/build" -DCMAKE_UNITY_BUILD=OFF -DENABLE_TESTING=OFF -DENABLE_PROGRAMS=OFF -DGEN_FILES=OFF \
    -DMBEDTLS_FATAL_WARNINGS=OFF "-DMBEDTLS_CONFIG_FILE=$SRC/include/mbedtls/fromscratch.h"
ninja -C "$WORK/build" mbedtls mbedx509 mbedcrypto
mkdir -p "$OUT/lib" "$OUT/include"
cp "$WORK"/build/library/libmbed*.a "$OUT/lib/"
# shellcheck disable=SC2086
cc $CFLAGS -c "$RECIPE/getrandom.c" -o "$WORK/getrandom.o"
ar rD "$OUT/lib/libmbedcrypto.a" "$WORK/getrandom.o"
cp -R "$SRC/include/mbedtls" "$SRC/include/psa" "$OUT/include/"
