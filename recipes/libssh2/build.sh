#!/bin/sh
# The library alone, by OpenSSL, without compression and without what is broken or on its way out: DSA, 3DES, RC4, Blowfish,
# CAST, MD5 (but for keys in PEM files with a passphrase) and RIPEMD. In: TOOLCHAIN, SRC, WORK, OUT, RECIPE, CFLAGS, NEED_OPENSSL.
set -eu
awk -v source="$SRC" -f "$TOOLCHAIN/bin/patch.awk" "$RECIPE"/patches/*.patch
mkdir -p "$OUT/lib" "$OUT/include" "$WORK/include"
cd "$WORK"
# What its configure would find out: https://github.com/libssh2/libssh2/blob/master/src/libssh2_config_cmake.h.in
for name in UNISTD_H INTTYPES_H SYS_SELECT_H SYS_UIO_H SYS_SOCKET_H SYS_IOCTL_H SYS_TIME_H SYS_UN_H GETTIMEOFDAY STRTOLL SNPRINTF \
    EXPLICIT_BZERO POLL SELECT O_NONBLOCK; do
    echo "#define HAVE_$name"
done >include/libssh2_config.h
set --
for file in "$SRC"/src/*.c; do
    case ${file##*/} in
    # Other back ends, other systems, and what bcrypt_pbkdf.c and crypto.c include.
    agent_win.c | blowfish.c | libgcrypt.c | mbedtls.c | openssl.c | os400qc3.c | wincng.c) ;;
    *) set -- "$@" "$file" ;;
    esac
done
# shellcheck disable=SC2086
cc $CFLAGS -DNDEBUG -DHAVE_CONFIG_H -DLIBSSH2_OPENSSL -DLIBSSH2_NO_3DES -DLIBSSH2_NO_BLOWFISH -DLIBSSH2_NO_CAST \
    -DLIBSSH2_NO_HMAC_RIPEMD -DLIBSSH2_NO_MD5 -DLIBSSH2_NO_RC4 \
    -Iinclude "-I$SRC/include" "-I$NEED_OPENSSL/include" -c "$@"
ar rcsD "$OUT/lib/libssh2.a" ./*.o
cp "$SRC"/include/*.h "$OUT/include/"
