#!/bin/sh
# The library alone, without its programs. In: SRC, WORK, OUT, CFLAGS.
set -eu
mkdir -p "$OUT/lib" "$OUT/include"
cd "$WORK"
# What its configure would find out: https://github.com/ngtcp2/nghttp3/blob/main/cmakeconfig.h.in
# musl's be64toh knows the byte order, so nobody has to say it.
# shellcheck disable=SC2086
cc $CFLAGS -DNDEBUG -DNGHTTP3_STATICLIB -DHAVE_ARPA_INET_H -DHAVE_UNISTD_H -DHAVE_ENDIAN_H -DHAVE_BYTESWAP_H \
    -DHAVE_DECL_BE64TOH=1 -DHAVE_DECL_BSWAP_64=1 "-I$SRC/lib/includes" -c "$SRC"/lib/*.c "$SRC/lib/sfparse/sfparse.c"
ar rcsD "$OUT/lib/libnghttp3.a" ./*.o
cp -R "$SRC/lib/includes/nghttp3" "$OUT/include/"
