#!/bin/sh
# Pack one program with UPX, test it, and unpack it again: what comes back is judged as well. Packed once more it must be
# the same file: by that `inv verify` tells, anywhere, that the stub is the one that UPX writes.
# In: NEED_PLAIN (directory with the program), NEED_UPX, METHOD (nrv or lzma), WORK, OUT. Out: OUT/packed, OUT/unpacked
set -eu
case $METHOD in
nrv) flags="--best --nrv2b" ;; # the quickest of the three NRV stubs
lzma) flags="--best --lzma" ;;
*) echo "unknown method '$METHOD'" && exit 2 ;;
esac
set -- "$NEED_PLAIN"/*
# shellcheck disable=SC2086
"$NEED_UPX/upx" -q $flags -o "$OUT/packed" "$1"
"$NEED_UPX/upx" -q -t "$OUT/packed"
"$NEED_UPX/upx" -q -d -o "$OUT/unpacked" "$OUT/packed"
# shellcheck disable=SC2086
"$NEED_UPX/upx" -q $flags -o "$WORK/again" "$OUT/unpacked"
cmp "$WORK/again" "$OUT/packed"
