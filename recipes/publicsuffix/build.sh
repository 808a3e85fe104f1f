#!/bin/sh
# The list out of the wheel. In: SRC, OUT.
set -eu
cp "$SRC/publicsuffixlist/public_suffix_list.dat" "$OUT/"
