#!/bin/sh
# UPX for the building machine. C++, so this one goes through `zig c++`, which brings its own static libc++ and musl.
# In: BOX, TOOLCHAIN, SRC, WORK, OUT, TRIPLE, JOBS.
set -eu
unset CFLAGS LDFLAGS
export ZIG_GLOBAL_CACHE_DIR="$WORK/zig" ZIG_LOCAL_CACHE_DIR="$WORK/zig"
mkdir -p "$WORK/bin"
for name in cc c++; do
    printf '#!/bin/sh\nexec "%s/zig/zig" %s -target %s -fno-sanitize=all -Wno-date-time \
        -ffile-prefix-map=%s=/box -ffile-prefix-map=%s=/toolchain "$@"\n' \
        "$TOOLCHAIN" "$name" "$TRIPLE" "$BOX" "$TOOLCHAIN" >"$WORK/bin/$name"
    chmod +x "$WORK/bin/$name"
done
# One unit would be one long compile on one core, and doctest does not bear it.
configure -S "$SRC" -B "$WORK/build" -DCMAKE_UNITY_BUILD=OFF \
    -DCMAKE_C_COMPILER="$WORK/bin/cc" -DCMAKE_CXX_COMPILER="$WORK/bin/c++" -DCMAKE_C_FLAGS=-O2 -DCMAKE_CXX_FLAGS=-O2 \
    -DCMAKE_EXE_LINKER_FLAGS="-static -Wl,-s" -DUPX_CONFIG_DISABLE_WERROR=1 -DUPX_CONFIG_DISABLE_SANITIZE=1 \
    -DUPX_CONFIG_DISABLE_GITREV=1 -DUPX_CONFIG_DISABLE_SELF_PACK_TEST=1
ninja -C "$WORK/build" upx
cp "$WORK/build/upx" "$OUT/upx"
"$OUT/upx" --version | head -n 1
