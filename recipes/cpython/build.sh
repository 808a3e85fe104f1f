#!/bin/sh
# CPython without make. In: SRC, WORK, OUT, RECIPE, VARIANT (host or lean), TARGET, PROCESSOR, VERSION, CFLAGS, SYSROOT.
#   host: OUT/python and OUT/lib/python3.x, a static interpreter for the building machine
#   lean: OUT/libpython.a and OUT/include, what frozen programs are linked from
set -eu
export BUILD="$WORK/build"
mkdir -p "$BUILD" "$WORK/lib"
case $VARIANT in
host)
    CFLAGS="-O1 -w ${CFLAGS#*" -w "}" # runs for seconds only: quick to compile counts
    hashes=md5,sha1,sha2
    ;;
lean)
    hashes=
    CFLAGS="$CFLAGS -DNDEBUG -fmacro-prefix-map=$SRC/=" # its internal errors name the file they happen in
    PYTHONHOME=$NEED_CPYTHON_HOST "$NEED_CPYTHON_HOST/python" -I -S "$RECIPE/lean.py" "$SRC"
    # Nothing of the target is run, be it this machine's own: what configure would run something for is answered here.
    set -- "--with-build-python=$NEED_CPYTHON_HOST/python" "--build=$(uname -m)-pc-linux-gnu" \
        "--host=$PROCESSOR-unknown-linux-musl" ac_cv_file__dev_ptmx=no ac_cv_file__dev_ptc=no ac_cv_buggy_getaddrinfo=no
    ;;
esac
export CFLAGS

# musl is all in libc.a; configure and LDFLAGS want the others by name.
for name in m dl pthread util rt; do ar rcsD "$WORK/lib/lib$name.a"; done

# Modules nobody freezes with, and those that want libraries we do not have.
off="_codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _multibytecodec _ctypes _decimal _elementtree
    _interpchannels _interpqueues _interpreters _lsprof _multiprocessing _posixshmem _zoneinfo pyexpat syslog"
if [ "$VARIANT" = lean ]; then
    off="$off _asyncio _bisect _contextvars _csv _datetime _heapq _json _opcode _pickle _posixsubprocess _queue _random
        _statistics _struct array binascii cmath fcntl grp math mmap resource termios unicodedata"
fi
for name in $off; do set -- "$@" "py_cv_module_$name=n/a"; done
cd "$BUILD"
CFLAGS="-O1 -w" sh "$SRC/configure" "$@" \
    --disable-shared --without-ensurepip --disable-test-modules --without-doc-strings --without-mimalloc \
    --with-pkg-config=no --without-readline "--with-builtin-hashlib-hashes=$hashes" \
    CC=cc AR=ar RANLIB=ranlib READELF=: MODULE_BUILDTYPE=static LINKFORSHARED=' ' LDFLAGS="-L$WORK/lib"
sh "$RECIPE/objects.sh" >build.ninja
library=$(sed -n 's/^build \(.*\): cc .*/\1/p' build.ninja | grep -v -e '^Programs/' -e 'getpath')

case $VARIANT in
host)
    # The import system is Python itself: a first interpreter without it turns it into C.
    # shellcheck disable=SC2086
    ninja $library Modules/getpath_noop.o Programs/_freeze_module.o Programs/python.o
    # shellcheck disable=SC2086
    cc $LDFLAGS -o freeze Programs/_freeze_module.o Modules/getpath_noop.o $library
    mkdir -p Python/frozen_modules
    for name in importlib._bootstrap importlib._bootstrap_external zipimport; do
        ./freeze "$name" "$SRC/Lib/$(echo "$name" | tr . /).py" "Python/frozen_modules/$name.h"
    done
    ./freeze getpath "$SRC/Modules/getpath.py" Python/frozen_modules/getpath.h
    ninja Modules/getpath.o
    # shellcheck disable=SC2086
    cc $CFLAGS -DPy_BUILD_CORE "-I$SRC/Include" "-I$SRC/Include/internal" -I. -c "$RECIPE/frozen.c" -o frozen.o
    # shellcheck disable=SC2086
    cc $LDFLAGS -o "$OUT/python" Programs/python.o Modules/getpath.o frozen.o $library
    home=$OUT/lib/python${VERSION%.*}
    mkdir -p "$home"
    cp -R "$SRC/Lib/." "$home/"
    rm -rf "$home/test" "$home/idlelib" "$home/tkinter" "$home/turtledemo" "$home/lib2to3" "$home/ensurepip"
    PYTHONHOME=$OUT "$OUT/python" -I -S -c 'import ast, marshal'
    find "$OUT" -name __pycache__ -exec rm -r {} +
    ;;
lean)
    # Without the compiler, the parser and what only a developer asks for: stubs.c stands in for what others call of it.
    kept=$(for object in $library; do
        case $object in
        Parser/* | Python/Python-* | Python/asdl.o | Python/ast*.o | Python/assemble.o | Python/compile.o) ;;
        Python/flowgraph.o | Python/frozenmain.o | Python/future.o | Python/instruction_sequence.o) ;;
        Python/dynload_shlib.o | Python/legacy_tracing.o | Python/optimizer*.o | Python/perf_*.o) ;;
        Python/symtable.o | Python/tracemalloc.o) ;;
        Modules/_tracemalloc.o | Modules/config.o | Modules/faulthandler.o | Modules/main.o | Modules/symtablemodule.o) ;;
        *) echo "$object" ;;
        esac
    done)
    # shellcheck disable=SC2086
    ninja $kept
    # shellcheck disable=SC2086
    cc $CFLAGS -std=c11 -DPy_BUILD_CORE "-I$SRC/Include" "-I$SRC/Include/internal" -I. -c "$RECIPE/stubs.c" -o stubs.o
    # shellcheck disable=SC2086
    ar rcsD "$OUT/libpython.a" stubs.o $kept
    mkdir -p "$OUT/include"
    cp -R "$SRC/Include/." "$OUT/include/"
    cp pyconfig.h "$OUT/include/"
    ;;
esac
