#!/bin/sh
# UPX for the building machine: C++ on our own musl, with the few files of libc++, libc++abi and libunwind that it links.
# `zig c++` would build all of them, and a musl of its own, each time: half of 180 seconds.
# In: BOX, TOOLCHAIN, SRC, WORK, OUT, SYSROOT.
set -eu
zig=$TOOLCHAIN/zig/lib
flags="-ffunction-sections -fdata-sections -w -ffile-prefix-map=$BOX=/box -ffile-prefix-map=$TOOLCHAIN=/toolchain"
# zig's libc++ has no __config_site: whoever compiles says what would stand there. UPX starts no thread.
config="-D_LIBCPP_ABI_VERSION=1 -D_LIBCPP_ABI_NAMESPACE=__1 -D_LIBCPP_HAS_MUSL_LIBC=1 -D_LIBCPP_HAS_THREADS=0
    -D_LIBCPP_HAS_MONOTONIC_CLOCK=1 -D_LIBCPP_HAS_TERMINAL=0 -D_LIBCPP_HAS_FILESYSTEM=0 -D_LIBCPP_HAS_RANDOM_DEVICE=0
    -D_LIBCPP_HAS_LOCALIZATION=1 -D_LIBCPP_HAS_UNICODE=1 -D_LIBCPP_HAS_WIDE_CHARACTERS=1 -D_LIBCPP_HAS_TIME_ZONE_DATABASE=0
    -D_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS=0 -D_LIBCPP_HAS_NO_STD_MODULES -D_LIBCPP_PSTL_BACKEND_SERIAL
    -D_LIBCPP_DISABLE_VISIBILITY_ANNOTATIONS -D_LIBCXXABI_DISABLE_VISIBILITY_ANNOTATIONS
    -D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_NONE
    -D_LIBCPP_ASSERTION_SEMANTIC_DEFAULT=_LIBCPP_ASSERTION_SEMANTIC_IGNORE
    -D_LIBCXXABI_HAS_NO_THREADS -D_LIBUNWIND_HAS_NO_THREADS -DNDEBUG"
# -I, since libc++'s headers must be found before musl's, which they wrap.
cxx="$flags -nostdinc++ -I$zig/libcxx/include -I$zig/libcxxabi/include -I$zig/libunwind/include $config"
# What UPX's CMakeLists.txt sets. Its unit tests (doctest) are left out: they are a third of its compile time.
careful="-fno-delete-null-pointer-checks -fno-strict-aliasing -fno-strict-overflow -funsigned-char -fno-tree-vectorize"
upx="-std=gnu++17 $cxx $careful -DDOCTEST_CONFIG_DISABLE -DUSE_UTIMENSAT=1 -I$SRC/src -I$SRC/vendor"

rule() { # name, command
    echo "rule $1"
    # shellcheck disable=SC2086,SC2116
    echo "  command = $(echo $2)"
}
objects=
compile() { # rule, source, what it waits for
    object=$(echo "$2" | sed "s@^$SRC/@@; s@^$zig/@@" | tr / -).o
    objects="$objects $object"
    echo "build $object: $1 $2 ${3:+| $3}"
}
cd "$SRC"
{
    # What packs is optimised. All else takes longer to optimise than it ever runs.
    rule ucl "cc -O2 $flags $careful -I$SRC/vendor/ucl/include -I$SRC/vendor/ucl -c \$in -o \$out"
    rule packing "cc -O2 $upx -c \$in -o \$out"
    rule header "cc -O0 -x c++-header $upx -c \$in -o \$out"
    rule upx "cc -O0 $upx -c \$in -o \$out"
    rule upx_header "cc -O0 $upx -include-pch conf.pch -c \$in -o \$out"
    rule zlib "cc -O1 $flags $careful -DHAVE_VSNPRINTF=1 -DHAVE_UNISTD_H=1 -c \$in -o \$out"
    rule libcxx "cc -O1 -std=c++23 $cxx -fvisibility=hidden -D_LIBCPP_BUILDING_LIBRARY -DLIBCXX_BUILDING_LIBCXXABI
        -D_LIBCXXABI_BUILDING_LIBRARY -DLIBCXXABI_NON_DEMANGLING_TERMINATE -I$zig/libcxx/src -c \$in -o \$out"
    rule unwind_cxx "cc -O1 -std=c++17 $cxx -fno-exceptions -fno-rtti -funwind-tables -c \$in -o \$out"
    rule unwind "cc -O1 $flags $config -I$zig/libunwind/include -fexceptions -funwind-tables -c \$in -o \$out"
    # Exceptions are found by this header. Whatever the few files below lack is an undefined symbol.
    rule link "cc -Wl,--eh-frame-hdr -Wl,--gc-sections -Wl,--strip-all -Wl,--build-id=none \$in -o \$out"

    # All that the files share is read once, but for those that say something to it before.
    echo "build conf.pch: header $SRC/src/conf.h"
    for file in "$SRC"/src/*.cpp "$SRC"/src/[cfu]*/*.cpp; do
        case $file in
        */compress_lzma.cpp | */filter_impl.cpp) compile packing "$file" ;;
        *)
            if [ -n "$(sed -n '/#include.*conf\.h"/q; /^#define/p' "$file")" ]; then compile upx "$file"; else
                compile upx_header "$file" conf.pch
            fi
            ;;
        esac
    done
    for file in "$SRC"/vendor/ucl/src/*.c; do compile ucl "$file"; done
    for file in "$SRC"/vendor/zlib/*.c; do compile zlib "$file"; done
    for name in abort_message cxa_default_handlers cxa_exception cxa_exception_storage cxa_handlers cxa_personality \
        cxa_virtual fallback_malloc private_typeinfo stdlib_exception stdlib_new_delete stdlib_typeinfo; do
        compile libcxx "$zig/libcxxabi/src/$name.cpp"
    done
    compile libcxx "$zig/libcxx/src/exception.cpp"
    for name in libunwind Unwind-EHABI; do compile unwind_cxx "$zig/libunwind/src/$name.cpp"; done
    for name in UnwindLevel1.c UnwindRegistersSave.S UnwindRegistersRestore.S; do compile unwind "$zig/libunwind/src/$name"; done
    echo "build $OUT/upx: link$objects"
} >"$WORK/build.ninja"
ninja -C "$WORK"
"$OUT/upx" --version | head -n 1
