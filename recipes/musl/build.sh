#!/bin/sh
# The sysroot: musl as a static library, the kernel's headers, compiler-rt. musl's own Makefile needs make, which not every
# machine has; its rules are few, so they are written down for ninja here.
# The variant `base` has the files that base.txt names, `whole` all: those of `base`, and the rest compiled beside them.
# In: TOOLCHAIN, SRC, WORK, OUT, RECIPE, VARIANT, NEED_MUSL_BASE, VERSION, CLANG_TARGET, TRIPLE, ZIG_CPU, MUSL_ARCH, KERNEL_ARCH, CFLAGS.
set -eu
zig=$TOOLCHAIN/zig/zig
headers=$TOOLCHAIN/zig/lib/libc/include
mkdir -p "$OUT/lib" "$OUT/include/bits" "$WORK/internal"
awk -v source="$SRC" -f "$TOOLCHAIN/bin/patch.awk" "$RECIPE/server_failure.patch"

if [ "$VARIANT" = whole ]; then
    cp -R "$NEED_MUSL_BASE/." "$OUT/"
    rm "$OUT/lib/libc.a"
else
    # Headers, as musl's Makefile installs them.
    cp -R "$SRC/include/." "$OUT/include/"
    rm "$OUT/include/alltypes.h.in"
    cp "$SRC"/arch/generic/bits/*.h "$OUT/include/bits/"
    cp "$SRC/arch/$MUSL_ARCH"/bits/*.h "$OUT/include/bits/"
    sed -f "$SRC/tools/mkalltypes.sed" "$SRC/arch/$MUSL_ARCH/bits/alltypes.h.in" "$SRC/include/alltypes.h.in" \
        >"$OUT/include/bits/alltypes.h"
    cp "$SRC/arch/$MUSL_ARCH/bits/syscall.h.in" "$OUT/include/bits/syscall.h"
    sed -n 's/__NR_/SYS_/p' "$SRC/arch/$MUSL_ARCH/bits/syscall.h.in" >>"$OUT/include/bits/syscall.h"
fi
printf '#define VERSION "%s"\n' "$VERSION" >"$WORK/internal/version.h"

# One object a function, so that a program takes only what it calls. Not LTO: the compiler itself emits calls to memcpy and
# its kin after LTO has decided that nobody calls them.
outliner=${LDFLAGS#*-enable-machine-outliner=} # not every target can have it
flags="$CFLAGS -fno-lto -mllvm -enable-machine-outliner=${outliner%% *} -std=c99 -ffreestanding -frounding-math -D_XOPEN_SOURCE=700
    -I$SRC/arch/$MUSL_ARCH -I$SRC/arch/generic -I$WORK/internal -I$SRC/src/include -I$SRC/src/internal -I$SRC/ldso"
cc="$zig clang $CLANG_TARGET --no-default-config -nostdinc $flags -I$OUT/include"
# A third of the time that a small file takes is clang's own start, so one process compiles many. clang's driver would start
# a compiler for each: it is asked for the words that it would give it, but for the names of the files, and we start it.
# This compiler writes each object beside its source.
# shellcheck disable=SC2086
$cc -c "$SRC/src/string/memcpy.c" -o "$WORK/memcpy.o" '-###' 2>"$WORK/driver"
sed -n 's/^.* "-cc1" \(.*\) "-main-file-name" "[^"]*" \(.*\) "-o" "[^"]*" "-x" "c" "[^"]*"$/\1 \2/p' "$WORK/driver" >"$WORK/words"
test -s "$WORK/words" # else the driver says it in another way than clang 22's
echo "exec $zig -cc1 $(cat "$WORK/words") -x c \"\$@\"" >"$WORK/many"
# What the compiler calls for arithmetic that the CPU lacks: one process, and a long one, so it is the first to start.
export ZIG_GLOBAL_CACHE_DIR="$WORK/zig" ZIG_LOCAL_CACHE_DIR="$WORK/zig"
runtime="$zig build-obj -target $TRIPLE -mcpu=$ZIG_CPU -O ReleaseSmall -fstrip -fPIC -fno-stack-check -fsingle-threaded
    -ffunction-sections -fdata-sections -fno-unwind-tables"
{
    echo "rule cc"
    # shellcheck disable=SC2086,SC2116
    echo "  command = $(echo $cc) \$more -c \$in -o \$out"
    echo "rule many"
    echo "  command = sh $WORK/many \$in"
    echo "rule runtime"
    # shellcheck disable=SC2086,SC2116
    echo "  command = $(echo $runtime) \$in -femit-bin=\$out"
    if [ "$VARIANT" = base ]; then
        echo "build $WORK/compiler_rt.o: runtime $TOOLCHAIN/zig/lib/compiler_rt.zig"
        echo "build $OUT/lib/crt1.o: cc $SRC/crt/crt1.c"
        # It relocates the program, itself too: nothing may be called before, and zeros for its arrays are a call of memset.
        echo "build $OUT/lib/rcrt1.o: cc $RECIPE/rcrt1.c"
        echo "  more = -ftrivial-auto-var-init=uninitialized"
        for name in crti crtn; do
            file=$SRC/crt/$MUSL_ARCH/$name.s
            test -e "$file" || file=$SRC/crt/$name.c
            echo "build $OUT/lib/$name.o: cc $file"
        done
    fi
    objects=
    : >"$WORK/files"
    base=" $(sed '/^#/d' "$RECIPE/base.txt" | tr '\n' ' ')"
    # Where time_t was of 32 bits once, functions that take times have a name for each size. The headers only know the new
    # one; configure scripts ask for the old one.
    compat=$(sed -n 's/^COMPAT_SRC_DIRS = //p' "$SRC/arch/$MUSL_ARCH/arch.mak" 2>/dev/null || true)
    for file in "$SRC"/src/*/*.c "$SRC"/src/malloc/mallocng/*.c "$SRC"/src/*/"$MUSL_ARCH"/*.[csS] \
        ${compat:+"$SRC/$compat"/*.c}; do
        test -e "$file" || continue
        directory=${file%/*}
        name=${file##*/}
        name=${name%.*}
        case $VARIANT$base in
        base*" $name "*) ;;
        base* | whole*" $name "*) continue ;;
        esac
        case $directory in
        */"$MUSL_ARCH" | "$SRC"/compat/*) ;;
        *)
            for ending in c s S; do # the architecture's own version replaces the generic one
                if test -e "$directory/$MUSL_ARCH/$name.$ending"; then continue 2; fi
            done
            ;;
        esac
        objects="$objects $directory/$name.o"
        case $file in
        *.c) echo "$file" >>"$WORK/files" ;;
        *) echo "build $directory/$name.o: cc $file" ;;
        esac
    done
    awk '{ group = NR % 16; sources[group] = sources[group] " " $0; sub("c$", "o"); made[group] = made[group] " " $0 }
        END { for (group in made) print "build" made[group] ": many" sources[group] }' "$WORK/files"
} >"$WORK/build.ninja"
ninja -C "$WORK"
# Not "r", which keeps only one of two objects of the same name; "L" takes the members of an archive, not the archive.
# shellcheck disable=SC2086
"$zig" ar qLcsD "$OUT/lib/libc.a" ${NEED_MUSL_BASE:+"$NEED_MUSL_BASE/lib/libc.a"} $objects
if [ "$VARIANT" = base ]; then
    "$zig" ar rcsD "$OUT/lib/libcompiler_rt.a" "$WORK/compiler_rt.o"
    # The kernel's headers, behind musl's own.
    for directory in any-linux-any "$KERNEL_ARCH-linux-any"; do
        cp -Rn "$headers/$directory/." "$OUT/include/"
    done
fi
# Whatever a program takes of it, the rest that this needs is there.
"$zig" ld.lld -static --whole-archive "$OUT/lib/libc.a" --no-whole-archive "$OUT/lib/libcompiler_rt.a" \
    --defsym=main=0 --allow-multiple-definition --entry=main -o /dev/null
