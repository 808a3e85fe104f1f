#!/bin/sh
# One curl, static. In: SRC, WORK, OUT, RECIPE, SWITCHES, NEED_CHECKS; NEED_MBEDTLS and NEED_CACERT when the variant has them.
set -eu
# shellcheck source=recipes/curl/switches.sh
. "$RECIPE/switches.sh"
set --
if [ -n "${NEED_MBEDTLS:-}" ]; then
    CFLAGS="$CFLAGS -DMBEDTLS_CONFIG_FILE='\"mbedtls/fromscratch.h\"'"
    set -- "-DMBEDTLS_INCLUDE_DIR=$NEED_MBEDTLS/include" "-DMBEDTLS_LIBRARY=$NEED_MBEDTLS/lib/libmbedtls.a" \
        "-DMBEDX509_LIBRARY=$NEED_MBEDTLS/lib/libmbedx509.a" "-DMBEDCRYPTO_LIBRARY=$NEED_MBEDTLS/lib/libmbedcrypto.a"
fi
if [ -n "${NEED_CACERT:-}" ]; then
    set -- "$@" "-DCMAKE_PROJECT_CURL_INCLUDE=$RECIPE/embed.cmake"
fi
export CFLAGS
# shellcheck disable=SC2086
configure -S "$SRC" -B "$WORK/build" -C "$NEED_CHECKS/checks.cmake" $common $SWITCHES "$@"
ninja -C "$WORK/build" curl
cp "$WORK/build/src/curl" "$OUT/curl"
