#!/bin/sh
# OpenSSL as two static libraries. In: TOOLCHAIN, SRC, WORK, OUT, RECIPE, TARGET, JOBS, CFLAGS, NEED_MAKE, NEED_PERL.
set -eu
case $TARGET in
linux/amd64) system=linux-x86_64-clang ;;
linux/arm64) system=linux-aarch64 ;;
linux/arm/v7 | linux/arm/v6) system=linux-armv4 ;;
linux/386) system=linux-x86-clang ;;
linux/riscv64) system=linux64-riscv64 ;;
linux/ppc64le) system=linux-ppc64le ;;
linux/s390x) system=linux64-s390x ;;
linux/loong64) system=linux64-loongarch64 ;;
esac
awk -v source="$SRC" -f "$TOOLCHAIN/bin/patch.awk" "$RECIPE/build.patch"
mkdir "$WORK/build"
cd "$WORK/build"
# By a name that is as long everywhere: clang counts it in where it notes the place of inline assembler.
cp "$RECIPE/machine.h" .
export CC="sh $RECIPE/cc.sh" AR=ar RANLIB=ranlib CPPFLAGS="-include machine.h"
export PERL_HASH_SEED=0 # else the order of some lists in its Makefile is another one each time
# shellcheck disable=SC2046
"$NEED_PERL/bin/perl" "$SRC/Configure" "$system" $(sed 's/^#.*//' "$RECIPE/options.txt")
"$NEED_MAKE/make" -j "$JOBS" build_libs
mkdir -p "$OUT/lib" "$OUT/include/openssl"
cp libcrypto.a libssl.a "$OUT/lib/"
cp "$SRC"/include/openssl/*.h include/openssl/*.h "$OUT/include/openssl/"
