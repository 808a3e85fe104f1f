#!/bin/sh
# Pack one program with UPX, test it, and unpack it again: what comes back is judged as well. Packed once more it must be
# the same file: by that `inv verify` tells, anywhere, that the stub is the one that UPX writes.
# In: NEED_PLAIN (directory with the program), NEED_UPX, METHOD (nrv or lzma), WORK, OUT.
# Out: OUT/packed and OUT/unpacked, or OUT/incompressible (a text) when UPX cannot make it smaller.
set -eu
case $METHOD in
nrv) flags="--best --nrv2b" ;; # the quickest of the three NRV stubs
lzma) flags="--best --lzma" ;;
*) echo "unknown method '$METHOD'" && exit 2 ;;
esac
set --
for file in "$NEED_PLAIN"/*; do
    [ -d "$file" ] || set -- "$file" # a directory holds what lies beside the program
done
code=0
# shellcheck disable=SC2086
said=$("$NEED_UPX/upx" -q $flags -o "$OUT/packed" "$1" 2>&1) || code=$?
echo "$said"
if [ "$code" -ne 0 ]; then
    # Its stub alone has some 3 KB: what is below 4 KiB it does not even take for a program.
    case $said in
    *NotCompressibleException*) ;;
    *) [ "$(wc -c <"$1")" -lt 4096 ] || exit "$code" ;;
    esac
    rm -f "$OUT/packed"
    echo "UPX cannot make it smaller" >"$OUT/incompressible"
    exit 0
fi
"$NEED_UPX/upx" -q -t "$OUT/packed"
"$NEED_UPX/upx" -q -d -o "$OUT/unpacked" "$OUT/packed"
# shellcheck disable=SC2086
"$NEED_UPX/upx" -q $flags -o "$WORK/again" "$OUT/unpacked"
cmp "$WORK/again" "$OUT/packed"
