#!/bin/sh
# Whom to trust, out of the wheel. In: SRC, WORK, OUT, RECIPE, VARIANT, CFLAGS, LDFLAGS.
set -eu
case $VARIANT in
pem)
    # Without the comments: only the certificates count.
    awk '/-----BEGIN CERTIFICATE-----/ { inside = 1 } inside { print } /-----END CERTIFICATE-----/ { inside = 0 }' \
        "$SRC/certifi/cacert.pem" >"$OUT/cacert.pem"
    test -s "$OUT/cacert.pem"
    ;;
anchors)
    # shellcheck disable=SC2086
    cc -std=c11 $CFLAGS $LDFLAGS "$RECIPE/encode.c" -o "$WORK/encode"
    "$WORK/encode" "$SRC/certifi/cacert.pem" "$OUT/anchors.bin"
    ;;
lookup)
    for file in anchors.c anchors.h anchors_openssl.c anchors_openssl.h records.h format.h; do
        cp "$RECIPE/$file" "$OUT"
    done
    ;;
esac
