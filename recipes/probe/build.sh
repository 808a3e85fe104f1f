#!/bin/sh
# The probe, frozen: the package becomes one module, and that either MicroPython's bytecode (mini, full) or C (nuitka). Both
# are the same for every target and made once (frozen, compiled), then linked with an interpreter and a start of our own.
# In: SRC (the package), WORK, OUT, RECIPE, VARIANT, CFLAGS, LDFLAGS, VERSION, NEED_…
set -eu
cd "$WORK"

# What MicroPython is made of here: no compiler, no machine code, no modules.
interpreter() { # DIRECTORY of its sources
    for file in "$1"/py/*.c; do
        case ${file##*/} in
        asm* | nlr[!.s]*.c | emitbc.c | emitcommon.c | emitn* | emitinline* | compile.c | lexer.c | parse.c | scope.c | mod[acgimst]*.c) ;;
        *) echo "$file" ;;
        esac
    done
    echo "$NEED_MICROPYTHON/src/shared/runtime/gchelper_generic.c"
    echo "$RECIPE/port/main.c"
    echo "$RECIPE/port/system.c"
}

host_python() { # WORDS
    PYTHONHOME=$NEED_CPYTHON_HOST PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 PYTHONPATH="$NEED_NUITKA/stubs:$NEED_NUITKA" \
        NUITKA_PACKAGE_HOME="$NEED_NUITKA" NUITKA_CACHE_DIR="$WORK/cache" "$NEED_CPYTHON_HOST/python" -S "$@"
}

compile() { # FILE [FLAGS]: to an object beside the others
    file=$1
    shift
    # shellcheck disable=SC2086
    cc $CFLAGS -DNDEBUG -fvisibility=hidden "-fmacro-prefix-map=$WORK/=" -I. "-I$RECIPE" "$@" -c "$file" \
        -o "$(basename "$file" .c).o"
}

tls() {
    set -- '-DMBEDTLS_CONFIG_FILE="mbedtls/fromscratch.h"' "-I$NEED_MBEDTLS/include" "-I$NEED_CACERT_LOOKUP"
    compile "$RECIPE/tls.c" -std=c11 -D_GNU_SOURCE "$@"
    compile "$NEED_CACERT_LOOKUP/anchors.c" -std=c11 "$@"
    od -An -v -tu1 "$NEED_CACERT_ANCHORS/anchors.bin" | sed 's/^ *//; s/  */,/g; s/$/,/' >anchors.inc
    compile "$RECIPE/anchors_inside.c" -std=c11 "$@"
    libraries="$NEED_MBEDTLS/lib/libmbedtls.a $NEED_MBEDTLS/lib/libmbedx509.a $NEED_MBEDTLS/lib/libmbedcrypto.a"
}

libraries=
case $VARIANT in
frozen)
    # Nothing in here depends on the target: bytecode is bytes, and numbers are written so that the compiler reads them.
    "$NEED_MICROPYTHON/bin/micropython" "$RECIPE/merge.py" "$SRC" system >probe.py
    "$NEED_MICROPYTHON/bin/mpy-cross" -O3 -o probe.mpy -s probe.py probe.py
    freeze() { # SOURCES DIRECTORY: with the names of both variants, so that both can be linked with it
        # shellcheck disable=SC2046
        sh "$NEED_MICROPYTHON/src/headers.sh" "$NEED_MICROPYTHON/src" "$2" -std=gnu11 -DWITH_TLS "-I$RECIPE/port" \
            "-I$RECIPE" "-I$NEED_MICROPYTHON/src" -iquote "$NEED_MICROPYTHON/src/py" -- $(interpreter "$1") \
            "$RECIPE/port/tls_micropython.c"
        "$NEED_MICROPYTHON/bin/micropython" "$NEED_MICROPYTHON/freeze.py" "$2/genhdr/qstrdefs.preprocessed.h" probe.mpy \
            >"$2/frozen.c"
    }
    # Twice: the names that the program has are known when it is frozen, and what has no name any more needs none.
    freeze "$NEED_MICROPYTHON/src" whole
    mkdir -p "$OUT/py"
    files=$(interpreter "$NEED_MICROPYTHON/src")
    # shellcheck disable=SC2086
    awk -v "out=$OUT/py" -f "$RECIPE/trim.awk" whole/frozen.c pass=1 $files pass=2 ${files%%"$NEED_MICROPYTHON"/src/shared*}
    freeze "$OUT" "$OUT"
    exit
    ;;
compiled)
    # Nothing in here depends on the target: numbers in constants.bin are little-endian and of 31 bits.
    host_python "$RECIPE/merge.py" "$SRC" >probe_main.py
    host_python -m nuitka --mode=module --generate-c-only --nofollow-imports --output-dir=. \
        --python-flag=no_docstrings,no_asserts,no_warnings,no_annotations probe_main.py
    host_python -m nuitka.tools.data_composer probe_main.build "$OUT/constants.bin" composer.json
    cp probe_main.build/*.[ch] "$OUT"
    # What Nuitka's own build would define: https://github.com/Nuitka/Nuitka/blob/main/nuitka/build/Backend.scons
    for line in NO_PYTHON_WARNINGS=1 SYSFLAG_BYTES_WARNING=0 SYSFLAG_NO_SITE=1 SYSFLAG_VERBOSE=0 SYSFLAG_UTF8=1 \
        SYSFLAG_OPTIMIZE=2 SYSFLAG_DONTWRITEBYTECODE=1 SYSFLAG_NO_RANDOMIZATION=1 \
        _NUITKA_NO_ASSERTS=1 _NUITKA_NO_DOCSTRINGS=1 _NUITKA_NO_ANNOTATIONS=1; do
        echo "#define ${line%=*} ${line#*=}"
    done >"$OUT/build_definitions.h"
    host_python "$RECIPE/freeze.py" "$RECIPE/support.py" "$OUT/support.h"
    exit
    ;;
mini | full)
    set -- -std=gnu11 "-I$NEED_PROBE_FROZEN" "-I$RECIPE/port" "-I$NEED_MICROPYTHON/src" -iquote "$NEED_MICROPYTHON/src/py"
    files="$NEED_PROBE_FROZEN/frozen.c $RECIPE/end.c $RECIPE/digest.c"
    if [ "$VARIANT" = full ]; then
        set -- "$@" -DWITH_TLS
        files="$files $RECIPE/port/tls_micropython.c"
        tls
    fi
    {
        echo "rule cc"
        echo "  command = cc $CFLAGS -DNDEBUG -fvisibility=hidden -fmacro-prefix-map=$WORK/= -I$RECIPE $* -c \$in -o \$out"
        for file in $(interpreter "$NEED_PROBE_FROZEN") $files; do echo "build $(basename "$file" .c).o: cc $file"; done
    } >build.ninja
    ninja
    set --
    ;;
nuitka)
    made=$NEED_PROBE_COMPILED
    runtime=$NEED_NUITKA/nuitka/build
    python() { # FILE [FLAGS]: with CPython's headers
        compile "$@" -fwrapv -DPy_BUILD_CORE "-I$NEED_CPYTHON_LEAN/include" "-I$NEED_CPYTHON_LEAN/include/internal" \
            "-fmacro-prefix-map=$NEED_CPYTHON_LEAN/=" "-fmacro-prefix-map=$NEED_NUITKA/=" "-fmacro-prefix-map=$made/="
    }
    # __NUITKA_NO_ASSERT__ must be here: most of Nuitka's files do not include build_definitions.h, and would check themselves.
    set -- -std=gnu2x -D_NUITKA_MODULE_MODE -D__NUITKA_NO_ASSERT__ -D_NUITKA_STATIC_LIBPYTHON=1 -D_NUITKA_CONSTANTS_FROM_C23_EMBED \
        -Ddladdr=fromscratch_dladdr "-I$made" "-I$runtime/include" "-I$runtime/static_src" \
        "-I$runtime/inline_copy/zlib" "-I$runtime/inline_copy/libbacktrace"
    for file in "$runtime/static_src/CompiledFunctionType.c" "$made"/*.c; do python "$file" "$@"; done
    compile "$RECIPE/constants.c" -std=gnu2x "--embed-dir=$made"
    compile "$RECIPE/end.c" -std=c11 -D_GNU_SOURCE
    compile "$RECIPE/digest.c" -std=c11
    python "$RECIPE/start.c" -std=gnu2x "-I$made"
    python "$RECIPE/digest_cpython.c" -std=c11
    python "$RECIPE/tls_cpython.c" -std=c11
    tls
    libraries="$NEED_CPYTHON_LEAN/libpython.a $libraries"
    ;;
esac
# What fills the program, by the linker's own word; see builders/side.py. The bytes are the same without.
mkdir "$OUT/side"
owners=
case " $CFLAGS " in
*" -flto "*) owners=-Wl,--save-temps=resolution ;;
esac
# shellcheck disable=SC2086
cc $LDFLAGS "-Wl,-Map=$OUT/side/link.map" $owners -o probe ./*.o $libraries
[ -z "$owners" ] || sed -n '/,p[lx]*$/p' probe.resolution.txt >"$OUT/side/link.owners"
cp probe "$OUT/probe"
