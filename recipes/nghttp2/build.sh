#!/bin/sh
# The library alone, without its programs. In: SRC, WORK, OUT, CFLAGS.
set -eu
mkdir -p "$OUT/lib" "$OUT/include"
cd "$WORK"
# What its configure would find out: https://github.com/nghttp2/nghttp2/blob/master/cmakeconfig.h.in
# shellcheck disable=SC2086
cc $CFLAGS -DNDEBUG -DNGHTTP2_STATICLIB -DHAVE_ARPA_INET_H -DHAVE_NETINET_IN_H -DHAVE_CLOCK_GETTIME \
    -DHAVE_DECL_CLOCK_MONOTONIC=1 "-I$SRC/lib/includes" -c "$SRC"/lib/*.c
ar rcsD "$OUT/lib/libnghttp2.a" ./*.o
cp -R "$SRC/lib/includes/nghttp2" "$OUT/include/"
