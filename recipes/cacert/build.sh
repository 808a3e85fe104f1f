#!/bin/sh
# The PEM bundle out of the wheel, without its comments: only the certificates count. In: SRC, OUT.
set -eu
awk '/-----BEGIN CERTIFICATE-----/ { inside = 1 } inside { print } /-----END CERTIFICATE-----/ { inside = 0 }' \
    "$SRC/certifi/cacert.pem" >"$OUT/cacert.pem"
test -s "$OUT/cacert.pem"
