#!/bin/sh
# The half that unpacks, as curl's CMake wants it: in two libraries. In: SRC, WORK, OUT, CFLAGS, TARGET.
set -eu
case $TARGET in
linux/loong64) set -- "-Dmodel(M)=" ;; # clang knows the attribute there, and takes none of its values
*) set -- ;;
esac
mkdir -p "$OUT/lib" "$OUT/include" "$WORK/common" "$WORK/dec"
for part in common dec; do
    cd "$WORK/$part"
    # shellcheck disable=SC2086
    cc $CFLAGS "$@" "-I$SRC/c/include" -c "$SRC/c/$part"/*.c
    ar rcsD "$OUT/lib/libbrotli$part.a" ./*.o
done
cp -R "$SRC/c/include/brotli" "$OUT/include/"
