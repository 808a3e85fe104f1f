#!/bin/sh
# One curl, static. In: TOOLCHAIN, SRC, WORK, OUT, RECIPE, VERSION, SWITCHES; NEED_MBEDTLS, NEED_CACERT_ANCHORS,
# NEED_CACERT_LOOKUP, and NEED_NGHTTP2 with all other libraries of curl:h2, when the variant has them.
set -eu
# shellcheck source=recipes/curl/switches.sh
. "$RECIPE/switches.sh"
# What the variant cannot honour, the tool does not know.
awk -v source="$SRC" -v switches="$SWITCHES -DVERSION=$VERSION" -f "$RECIPE/options.awk" "$RECIPE/options.txt"
include=$RECIPE/answers.cmake
set --
if [ -n "${NEED_MBEDTLS:-}" ]; then
    CFLAGS="$CFLAGS -DMBEDTLS_CONFIG_FILE='\"mbedtls/fromscratch.h\"'"
    set -- "-DMBEDTLS_INCLUDE_DIR=$NEED_MBEDTLS/include" "-DMBEDTLS_LIBRARY=$NEED_MBEDTLS/lib/libmbedtls.a" \
        "-DMBEDX509_LIBRARY=$NEED_MBEDTLS/lib/libmbedx509.a" "-DMBEDCRYPTO_LIBRARY=$NEED_MBEDTLS/lib/libmbedcrypto.a"
fi
if [ -n "${NEED_NGHTTP2:-}" ]; then
    CFLAGS="$CFLAGS -DNGHTTP2_STATICLIB"
    set -- "$@" "-DNGHTTP2_INCLUDE_DIR=$NEED_NGHTTP2/include" "-DNGHTTP2_LIBRARY=$NEED_NGHTTP2/lib/libnghttp2.a" \
        "-DZLIB_INCLUDE_DIR=$NEED_ZLIB/include" "-DZLIB_LIBRARY=$NEED_ZLIB/lib/libz.a" \
        "-DBROTLI_INCLUDE_DIR=$NEED_BROTLI/include" "-DBROTLIDEC_LIBRARY=$NEED_BROTLI/lib/libbrotlidec.a" \
        "-DBROTLICOMMON_LIBRARY=$NEED_BROTLI/lib/libbrotlicommon.a" \
        "-DZSTD_INCLUDE_DIR=$NEED_ZSTD/include" "-DZSTD_LIBRARY=$NEED_ZSTD/lib/libzstd.a" \
        "-DLIBPSL_INCLUDE_DIR=$NEED_LIBPSL/include" "-DLIBPSL_LIBRARY=$NEED_LIBPSL/lib/libpsl.a" \
        "-DLIBIDN2_INCLUDE_DIR=$NEED_LIBIDN2_LIB/include" \
        "-DLIBIDN2_LIBRARY=$NEED_LIBIDN2_LIB/lib/libidn2.a;$NEED_LIBUNISTRING_LIB/lib/libunistring.a"
fi
if [ -n "${NEED_OPENSSL:-}" ]; then
    set -- "$@" "-DOPENSSL_INCLUDE_DIR=$NEED_OPENSSL/include" "-DOPENSSL_SSL_LIBRARY=$NEED_OPENSSL/lib/libssl.a" \
        "-DOPENSSL_CRYPTO_LIBRARY=$NEED_OPENSSL/lib/libcrypto.a"
fi
if [ -n "${NEED_NGTCP2:-}" ]; then
    CFLAGS="$CFLAGS -DNGTCP2_STATICLIB -DNGHTTP3_STATICLIB"
    # shellcheck disable=SC2153 # another library than NGHTTP2
    set -- "$@" "-DNGTCP2_INCLUDE_DIR=$NEED_NGTCP2/include" "-DNGTCP2_LIBRARY=$NEED_NGTCP2/lib/libngtcp2.a" \
        "-DNGTCP2_CRYPTO_OSSL_LIBRARY=$NEED_NGTCP2/lib/libngtcp2_crypto_ossl.a" \
        "-DNGHTTP3_INCLUDE_DIR=$NEED_NGHTTP3/include" "-DNGHTTP3_LIBRARY=$NEED_NGHTTP3/lib/libnghttp3.a"
fi
if [ -n "${NEED_LIBSSH2:-}" ]; then
    set -- "$@" "-DLIBSSH2_INCLUDE_DIR=$NEED_LIBSSH2/include" "-DLIBSSH2_LIBRARY=$NEED_LIBSSH2/lib/libssh2.a"
fi
if [ -n "${NEED_CACERT_ANCHORS:-}" ]; then
    patches="vtls tool"
    if [ -n "${NEED_OPENSSL:-}" ]; then
        patches="$patches openssl"
        LOOKUP=$NEED_CACERT_LOOKUP/anchors_openssl.c
        CFLAGS="$CFLAGS -I$NEED_OPENSSL/include"
    else
        patches="$patches mbedtls"
        LOOKUP="$NEED_CACERT_LOOKUP/anchors.c;$RECIPE/directories.c"
        CFLAGS="$CFLAGS -I$NEED_MBEDTLS/include"
    fi
    if [ -n "${NEED_LIBSSH2:-}" ]; then
        patches="$patches ssh"
    fi
    for patch in $patches; do
        file=$RECIPE/patches/$patch-$VERSION.patch # an older release has its own, where it differs
        test -e "$file" || file=$RECIPE/patches/$patch.patch
        awk -v source="$SRC" -f "$TOOLCHAIN/bin/patch.awk" "$file"
    done
    CFLAGS="$CFLAGS -I$RECIPE -I$NEED_CACERT_LOOKUP"
    include="$include;$RECIPE/embed.cmake"
    export LOOKUP
fi
# What fills the program, by the linker's own word; see builders/side.py. The bytes are the same without.
mkdir "$OUT/side"
export CFLAGS LDFLAGS="$LDFLAGS -Wl,-Map=$OUT/side/link.map -Wl,--save-temps=resolution"
# shellcheck disable=SC2086
configure -S "$SRC" -B "$WORK/build" "-DCMAKE_PROJECT_CURL_INCLUDE=$include" $common $SWITCHES "$@"
ninja -C "$WORK/build" curl
cp "$WORK/build/src/curl" "$OUT/curl"
sed -n '/,p[lx]*$/p' "$WORK/build/src/curl.resolution.txt" >"$OUT/side/link.owners"
