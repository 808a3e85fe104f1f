#!/bin/sh
# GNU make for the building machine, by the script that it brings for machines without make.
# In: SRC, WORK, OUT, CFLAGS, LDFLAGS.
set -eu
cd "$WORK"
mkdir -p "$SRC/doc"
: >"$SRC/doc/Makefile.in" # the manual's, which the archive lacks
# MAKE: what it would ask another make is for a Makefile that nobody runs. No plug-ins: it is static.
"$SRC/configure" --prefix=/make --disable-dependency-tracking --disable-load --disable-nls --without-guile CC=cc MAKE=false
sh "$SRC/build.sh"
cp make "$OUT/make"
"$OUT/make" --version | head -n 1
