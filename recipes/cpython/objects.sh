#!/bin/sh
# Print a build.ninja for CPython's objects. CPython's own Makefile needs make, which not every machine has, and knows no way
# to build some of it only. In: SRC, BUILD (a configured directory), CFLAGS, VERSION.
set -eu

# The words of a Makefile's variable that are objects, with what it refers to.
objects() {
    awk -v want="$1" '
        function full(text, name) {
            while (match(text, /\$\([A-Za-z_]+\)/)) {
                name = substr(text, RSTART + 2, RLENGTH - 3)
                text = substr(text, 1, RSTART - 1) value[name] substr(text, RSTART + RLENGTH)
            }
            return text
        }
        { line = line $0 }
        /\\$/ { sub(/\\$/, " ", line); next }
        match(line, /^[A-Za-z_]+=/) {
            name = substr(line, 1, RLENGTH - 1)
            text = substr(line, RLENGTH + 1)
            sub(/^[ \t]+/, "", text)
            if (!(name in value)) value[name] = text
        }
        { line = "" }
        END {
            count = split(full(value[want]), words, /[ \t]+/)
            for (i = 1; i <= count; i++) if (words[i] ~ /\.o$/) print words[i]
        }' "$BUILD/Makefile"
}

echo "rule cc"
echo "  command = cc $CFLAGS -std=c11 -fwrapv -fvisibility=hidden -DPy_BUILD_CORE \$more -I$SRC/Include -I$SRC/Include/internal -I$SRC/Include/internal/mimalloc -I$BUILD -I$SRC -I$SRC/Python -c \$in -o \$out"
all=$(objects LIBRARY_OBJS_OMIT_FROZEN)
case $all in *sha2module.o*) all="$all Modules/_hacl/Hacl_Hash_SHA2.o" ;; esac # an archive of its own in the Makefile
for object in $all Modules/getpath.o Modules/getpath_noop.o Programs/_freeze_module.o Programs/python.o; do
    file=$SRC/${object%.o}.c
    more=
    # What CPython's Makefile defines for single files.
    case $object in
    Modules/config.o) file=$BUILD/Modules/config.c ;;
    Modules/getpath.o) more="-DPYTHONPATH='\"\"' -DPREFIX='\"/\"' -DEXEC_PREFIX='\"/\"' -DVERSION='\"${VERSION%.*}\"' -DVPATH='\"\"' -DPLATLIBDIR='\"lib\"'" ;;
    Modules/md5module.o | Modules/sha*module.o | Modules/_hacl/*)
        more="-DPy_BUILD_CORE_BUILTIN -I$SRC/Modules/_hacl/include -D_BSD_SOURCE -D_DEFAULT_SOURCE"
        ;;
    Modules/*) more="-DPy_BUILD_CORE_BUILTIN" ;;
    Python/getplatform.o) more="-DPLATFORM='\"linux\"'" ;;
    Python/sysmodule.o) more="-DABIFLAGS='\"\"'" ;;
    Python/dynload_shlib.o) more="-DSOABI='\"static\"'" ;;
    esac
    printf 'build %s: cc %s\n  more = %s\n' "$object" "$file" "$more"
done
