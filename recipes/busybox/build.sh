#!/bin/sh
# busybox without make, Kconfig or programs for the building machine: three awk scripts make what those would.
# In: SRC, WORK, OUT, RECIPE, VERSION, CFLAGS, LDFLAGS.
set -eu
cd "$SRC"
sh scripts/gen_build_files.sh . . # collects //applet:, //usage:, //kbuild: and //config: out of the sources
find . -name Config.in -print | sort | xargs awk -f "$RECIPE/symbols.awk" "$RECIPE/config" >include/autoconf.h
printf '#define BB_VER "%s"\n#define BB_EXTRA_VERSION ""\n' "$VERSION" >>include/autoconf.h
printf 'enum { COMMON_BUFSIZE = 1024 };\nextern char bb_common_bufsiz1[];\n#define setup_common_bufsiz() ((void)0)\n' \
    >include/common_bufsiz.h

# The list of applets, as tables.awk wants it. #NAME keeps names such as "[" in one piece.
{
    echo '#define BB_DIR_ROOT "/"'
    echo '#define BB_DIR_BIN "/bin/"'
    echo '#define BB_DIR_SBIN "/sbin/"'
    echo '#define BB_DIR_USR_BIN "/usr/bin/"'
    echo '#define BB_DIR_USR_SBIN "/usr/sbin/"'
    echo '#define APPLET(name,place,suid) #name #name #name place 0'
    echo '#define APPLET_ODDNAME(name,main,place,suid,help) #name #main #help place 0'
    echo '#define APPLET_NOEXEC(name,main,place,suid,help) #name #main #help place 2'
    echo '#define APPLET_NOFORK(name,main,place,suid,help) #name #main #help place 3'
    sed -n 's@^//applet:@@p' ./*/*.c ./*/*/*.c
} >"$WORK/list.c"
# shellcheck disable=SC2086
cc $CFLAGS -include include/autoconf.h -E -P "$WORK/list.c" | sed -n 's/^ *"/"/p' | sort |
    awk -v directory=include -f "$RECIPE/tables.awk"
cmp include/applets.txt "$RECIPE/applets.txt" # what images make links of

# What upstream's Makefile.flags sets, as far as it changes anything here.
flags="$CFLAGS -std=gnu99 -funsigned-char -fno-builtin-strlen -include $SRC/include/autoconf.h -I$SRC/include -I$SRC/libbb
    -D_GNU_SOURCE -DNDEBUG -D_LARGEFILE64_SOURCE -D_FILE_OFFSET_BITS=64"
{
    echo "rule cc"
    # shellcheck disable=SC2086,SC2116
    echo "  command = cc $(echo $flags) -c \$in -o \$out"
    echo "rule link"
    echo "  command = cc $CFLAGS $LDFLAGS -Wl,-Map=$OUT/side/link.map -Wl,--save-temps=resolution \$in -o \$out"
    objects=
    for name in $(find . -name Kbuild -print | sort | xargs awk -f "$RECIPE/objects.awk" include/autoconf.h | sort -u); do
        for file in "$SRC/${name#./}".[cS]; do
            test -e "$file" || continue
            object=$WORK/obj/${name#./}.o
            echo "build $object: cc $file"
            objects="$objects $object"
        done
    done
    echo "build busybox: link$objects"
} >"$WORK/build.ninja"
mkdir "$OUT/side" # what fills the program, by the linker's own word; see builders/side.py
ninja -C "$WORK"
sed -n '/,p[lx]*$/p' "$WORK/busybox.resolution.txt" >"$OUT/side/link.owners"
cp "$WORK/busybox" "$OUT/busybox"
