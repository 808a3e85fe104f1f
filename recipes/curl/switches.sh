# shellcheck shell=sh disable=SC2034
# Sourced by build.sh: what every variant has in common.
# The threaded resolver costs 12,000 bytes. Without it curl times lookups with alarm(), which knows only whole seconds:
# every `-m 0.5` fails, of an IP address too, and `-m 1` fails now and then. No thread is started for an address or localhost.
# Each optional library is switched off by name: CMake would take the machine's own. So it would Perl, for docs/, which is not
# even unpacked.
common="-DBUILD_STATIC_LIBS=ON -DBUILD_TESTING=OFF -DBUILD_EXAMPLES=OFF -DBUILD_LIBCURL_DOCS=OFF -DBUILD_MISC_DOCS=OFF
    -DENABLE_CURL_MANUAL=OFF -DPICKY_COMPILER=OFF -DCURL_USE_PKGCONFIG=OFF -DCURL_USE_CMAKECONFIG=OFF
    -DCURL_ZLIB=OFF -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF -DUSE_NGHTTP2=OFF -DUSE_LIBIDN2=OFF -DCURL_USE_LIBPSL=OFF
    -DCURL_USE_LIBSSH2=OFF -DCURL_USE_OPENSSL=OFF -DENABLE_THREADED_RESOLVER=ON -DCURL_CA_BUNDLE=none -DCURL_CA_PATH=none
    -DCURL_DISABLE_TYPECHECK=ON -DCURL_ENABLE_EXPORT_TARGET=OFF -DCURL_DISABLE_INSTALL=ON
    -DCMAKE_DISABLE_FIND_PACKAGE_Perl=ON"
