#!/bin/sh
# Two libraries: QUIC, and what it has of OpenSSL. In: SRC, WORK, OUT, CFLAGS, NEED_OPENSSL.
set -eu
mkdir -p "$OUT/lib" "$OUT/include" "$WORK/quic" "$WORK/crypto"
# What its configure would find out: https://github.com/ngtcp2/ngtcp2/blob/main/cmakeconfig.h.in
# musl's be64toh knows the byte order, so nobody has to say it.
flags="$CFLAGS -DNDEBUG -DNGTCP2_STATICLIB -DHAVE_ARPA_INET_H -DHAVE_NETINET_IN_H -DHAVE_UNISTD_H -DHAVE_ENDIAN_H
    -DHAVE_BYTESWAP_H -DHAVE_DECL_BE64TOH=1 -DHAVE_DECL_BSWAP_64=1 -DHAVE_EXPLICIT_BZERO
    -I$SRC/lib/includes -I$SRC/crypto/includes"
cd "$WORK/quic"
# shellcheck disable=SC2086
cc $flags -c "$SRC"/lib/*.c
ar rcsD "$OUT/lib/libngtcp2.a" ./*.o
cd "$WORK/crypto"
# shellcheck disable=SC2086
cc $flags "-I$SRC/lib" "-I$SRC/crypto" "-I$NEED_OPENSSL/include" -c "$SRC/crypto/ossl/ossl.c" "$SRC/crypto/shared.c"
ar rcsD "$OUT/lib/libngtcp2_crypto_ossl.a" ./*.o
cp -R "$SRC/lib/includes/ngtcp2" "$OUT/include/"
cp "$SRC/crypto/includes/ngtcp2/ngtcp2_crypto.h" "$SRC/crypto/includes/ngtcp2/ngtcp2_crypto_ossl.h" "$OUT/include/ngtcp2/"
