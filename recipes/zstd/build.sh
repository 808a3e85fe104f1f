#!/bin/sh
# The half that unpacks, for size. In: SRC, WORK, OUT, CFLAGS.
set -eu
mkdir -p "$OUT/lib" "$OUT/include"
cd "$WORK"
# What the switches leave out: https://github.com/facebook/zstd/blob/dev/lib/README.md#modular-build
# shellcheck disable=SC2086
cc $CFLAGS -DZSTD_LEGACY_SUPPORT=0 -DZSTD_STRIP_ERROR_STRINGS=1 -DZSTD_NO_TRACE=1 -DZSTD_DISABLE_ASM=1 -DDYNAMIC_BMI2=0 \
    -DHUF_FORCE_DECOMPRESS_X1=1 -DZSTD_FORCE_DECOMPRESS_SEQUENCES_SHORT=1 -DZSTD_NO_INLINE=1 \
    -c "$SRC"/lib/common/*.c "$SRC"/lib/decompress/*.c
ar rcsD "$OUT/lib/libzstd.a" ./*.o
cp "$SRC/lib/zstd.h" "$SRC/lib/zstd_errors.h" "$OUT/include/"
