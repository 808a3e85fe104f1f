#!/bin/sh
# The probe, frozen: the package becomes one module, that becomes bytecode (micro) or C (compiled), that is linked with our own
# start and CPython's library (micro, nuitka). In: SRC (the package), WORK, OUT, RECIPE, VARIANT, CFLAGS, LDFLAGS, NEED_…
set -eu
cd "$WORK"

freeze() { # WHAT FROM TO
    PYTHONHOME=$NEED_CPYTHON_HOST PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 \
        "$NEED_CPYTHON_HOST/python" -I -S "$RECIPE/freeze.py" "$@"
}

nuitka() { # MODULE [WORDS]
    PYTHONHOME=$NEED_CPYTHON_HOST PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 PYTHONPATH="$NEED_NUITKA/stubs:$NEED_NUITKA" \
        NUITKA_PACKAGE_HOME="$NEED_NUITKA" NUITKA_CACHE_DIR="$WORK/cache" "$NEED_CPYTHON_HOST/python" -S -m "$@"
}

compile() { # FILE [FLAGS]: to an object beside the others
    file=$1
    shift
    # shellcheck disable=SC2086
    cc $CFLAGS -DNDEBUG -fwrapv -fvisibility=hidden -DPy_BUILD_CORE \
        "-fmacro-prefix-map=$NEED_CPYTHON_LEAN/=" "-fmacro-prefix-map=${NEED_NUITKA:-/none}/=" \
        "-fmacro-prefix-map=${NEED_PROBE_COMPILED:-/none}/=" "-fmacro-prefix-map=$WORK/=" \
        -I. "-I$NEED_CPYTHON_LEAN/include" "-I$NEED_CPYTHON_LEAN/include/internal" \
        "$@" -c "$file" -o "$(basename "$file" .c).o"
}

case $VARIANT in
compiled)
    # Nothing in here depends on the target: numbers in constants.bin are little-endian and of 31 bits.
    freeze source "$SRC" probe_main.py
    nuitka nuitka --mode=module --generate-c-only --nofollow-imports --output-dir=. \
        --python-flag=no_docstrings,no_asserts,no_warnings,no_annotations probe_main.py
    nuitka nuitka.tools.data_composer probe_main.build "$OUT/constants.bin" composer.json
    cp probe_main.build/*.[ch] "$OUT"
    # What Nuitka's own build would define: https://github.com/Nuitka/Nuitka/blob/main/nuitka/build/Backend.scons
    for line in NO_PYTHON_WARNINGS=1 SYSFLAG_BYTES_WARNING=0 SYSFLAG_NO_SITE=1 SYSFLAG_VERBOSE=0 SYSFLAG_UTF8=1 \
        SYSFLAG_OPTIMIZE=2 SYSFLAG_DONTWRITEBYTECODE=1 SYSFLAG_NO_RANDOMIZATION=1 \
        _NUITKA_NO_ASSERTS=1 _NUITKA_NO_DOCSTRINGS=1 _NUITKA_NO_ANNOTATIONS=1; do
        echo "#define ${line%=*} ${line#*=}"
    done >"$OUT/build_definitions.h"
    freeze module "$RECIPE/support.py" "$OUT/support.h"
    exit
    ;;
micro)
    freeze bytecode "$SRC" program.h
    compile "$RECIPE/start.c" -std=c11
    libraries=
    ;;
nuitka)
    made=$NEED_PROBE_COMPILED
    runtime=$NEED_NUITKA/nuitka/build
    set -- -std=gnu2x -D_NUITKA_MODULE_MODE -D_NUITKA_STATIC_LIBPYTHON=1 -D_NUITKA_CONSTANTS_FROM_C23_EMBED \
        -Ddladdr=fromscratch_dladdr "-I$made" "-I$runtime/include" "-I$runtime/static_src" \
        "-I$runtime/inline_copy/zlib" "-I$runtime/inline_copy/libbacktrace"
    for file in "$runtime/static_src/CompiledFunctionType.c" "$made"/*.c; do compile "$file" "$@"; done
    compile "$RECIPE/constants.c" -std=gnu2x "--embed-dir=$made"
    compile "$RECIPE/start.c" -std=gnu2x -DWITH_NUITKA -DWITH_TLS "-I$made"
    compile "$RECIPE/bundle.c" -std=gnu2x "--embed-dir=$NEED_CACERT"
    compile "$RECIPE/tls.c" -std=c11 '-DMBEDTLS_CONFIG_FILE="mbedtls/fromscratch.h"' "-I$NEED_MBEDTLS/include"
    libraries="$NEED_MBEDTLS/lib/libmbedtls.a $NEED_MBEDTLS/lib/libmbedx509.a $NEED_MBEDTLS/lib/libmbedcrypto.a"
    ;;
esac
# shellcheck disable=SC2086
cc $LDFLAGS -o "$OUT/probe" ./*.o "$NEED_CPYTHON_LEAN/libpython.a" $libraries
