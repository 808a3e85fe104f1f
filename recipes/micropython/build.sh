#!/bin/sh
# MicroPython for the building machine, made without Python. In: BOX, SRC, WORK, OUT, RECIPE, VERSION, CFLAGS, LDFLAGS.
#   OUT/bin/mpy-cross     compiles a module to .mpy
#   OUT/bin/micropython   runs scripts: those that freeze a program among them
#   OUT/src               what a program is linked from, and OUT/src/headers.sh, which makes the headers that it takes
#   OUT/freeze.py         .mpy to C, by upstream's tools/mpy-tool.py
set -eu
mkdir -p "$OUT/bin" "$OUT/src/extmod" "$OUT/src/shared" "$OUT/src/tools"
cp -R "$SRC/py" "$OUT/src/py"
cp -R "$SRC/shared/runtime" "$OUT/src/shared/runtime"
cp "$SRC"/extmod/*.h "$OUT/src/extmod/"
cp "$SRC/tools/mpy-tool.py" "$OUT/src/tools/mpy_tool.py" # under a name that can be imported
cp "$RECIPE/headers.sh" "$OUT/src/"
cp "$RECIPE/freeze.py" "$OUT/"

flags="-O1 -w ${CFLAGS#*" -w "} -DNDEBUG -std=gnu11 -I$RECIPE/host -I$SRC -I$WORK" # runs for seconds only
files="$RECIPE/host/main.c $SRC/shared/runtime/gchelper_generic.c $SRC/extmod/modbinascii.c $SRC/extmod/modre.c"
for file in "$SRC"/py/*.c; do
    case ${file##*/} in
    asm* | emitn* | emitinline*) ;; # machine code is not made
    *) files="$files $file" ;;
    esac
done
# shellcheck disable=SC2086
sh "$RECIPE/headers.sh" "$SRC" "$WORK" $flags -- $files
{
    echo "rule cc"
    echo "  command = cc $flags -c \$in -o \$out"
    echo "rule link"
    echo "  command = cc $LDFLAGS \$in -o \$out"
    objects=
    for file in $files; do
        object=object-$(echo "${file#"$BOX/"}" | tr / -).o
        echo "build $object: cc $file"
        objects="$objects $object"
    done
    echo "build $OUT/bin/micropython: link$objects"
} >"$WORK/build.ninja"
ninja -C "$WORK"
cp "$OUT/bin/micropython" "$OUT/bin/mpy-cross" # the name says what it does
