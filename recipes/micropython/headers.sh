#!/bin/sh
# The headers that MicroPython's build makes of its own sources: names (qstrs), modules, root pointers. Upstream makes them
# with Python; here it is awk, as the Python that runs here is the one that is being built.
# Usage: headers.sh TOP OUT [FLAG ...] -- FILE.c ...     flags: those of the compiler that change what the sources mean
# Made: OUT/genhdr/*.h, and OUT/genhdr/qstrdefs.preprocessed.h for mpy-tool.py
# https://docs.micropython.org/en/latest/develop/qstr.html
set -eu
top=$1
out=$2
shift 2
flags=
while [ "$1" != -- ]; do
    flags="$flags $1"
    shift
done
shift
mkdir -p "$out/genhdr"
cd "$out/genhdr"
# No date, no tag of a repository: see py/makeversionhdr.py.
printf '#define MICROPY_GIT_TAG "v%s"\n#define MICROPY_GIT_HASH ""\n#define MICROPY_BUILD_DATE ""\n' "$VERSION" >mpversion.h
# shellcheck disable=SC2086
cc $flags -DNO_QSTR -E -P "$@" >all.i

# shellcheck disable=SC2086
{
    cat "$top/py/qstrdefs.h"
    awk '{ while (match($0, /MP_QSTR_[A-Za-z0-9_]+/)) {
        print "Q(" substr($0, RSTART + 8, RLENGTH - 8) ")"; $0 = substr($0, RSTART + RLENGTH) } }' all.i | sort -u
} | sed 's/^Q(.*)/"&"/' | cc $flags -E -P -x c - | sed 's/^"\(Q(.*)\)"/\1/' >qstrdefs.preprocessed.h
awk '
    function name(text, i, character, out) {
        for (i = 1; i <= length(text); i++) {
            character = substr(text, i, 1)
            if (character in spelt) character = "_" spelt[character] "_"
            else if (character !~ /[A-Za-z0-9_]/) { print "no name for " character >"/dev/stderr"; failed = 1; exit 1 }
            out = out character
        }
        return out
    }
    function define(text, pool, place) {
        # The hash is left out: MICROPY_QSTR_BYTES_IN_HASH is 0.
        place = text == "\\n" ? "_0x0a_" : name(text)
        if (place in done) return
        done[place] = 1
        if (pool == "") pool = text in low ? 0 : 1
        printf "QDEF%d(MP_QSTR_%s, 0, %d, \"%s\")\n", pool, place, text == "\\n" ? 1 : length(text), text
    }
    BEGIN {
        split("- hyphen < lt > gt * star / slash . dot : colon # hash % percent { brace_open } brace_close", pairs, " ")
        for (i = 1; i in pairs; i += 2) spelt[pairs[i]] = pairs[i + 1]
        spelt[" "] = "space"
    }
    # The two lists of fixed places are upstream'"'"'s, out of its script.
    FILENAME ~ /makeqstrdata/ && /^(static|unsorted)_qstr_list = / { pool = substr($1, 1, 1); next }
    FILENAME ~ /makeqstrdata/ && /^[\]}]/ { pool = ""; next }
    FILENAME ~ /makeqstrdata/ {
        if (pool != "" && match($0, /"[^"]*"/)) {
            text = substr($0, RSTART + 1, RLENGTH - 2)
            if (pool == "s") fixed[++count] = text
            else low[text] = 1
        }
        next
    }
    FNR == 1 && !started {
        started = 1
        print "QDEF0(MP_QSTRnull, 0, 0, \"\")"
        for (i = 1; i <= count; i++) define(fixed[i], 0)
    }
    /^Q\(.*\)$/ { define(substr($0, 3, length($0) - 3), "") }
    END { exit failed }
' "$top/py/makeqstrdata.py" qstrdefs.preprocessed.h >unsorted.h
# MicroPython looks names up by halving: they are in the order of their bytes.
{
    grep '^QDEF0' unsorted.h
    grep '^QDEF1' unsorted.h | awk -F '"' '{ print $2 "\t" $0 }' | sort -t "$(printf '\t')" -k 1,1 | cut -f 2-
} >qstrdefs.generated.h

awk '
    {
        while (match($0, /MP_REGISTER_(EXTENSIBLE_)?MODULE\(MP_QSTR_[A-Za-z0-9_]+, *[A-Za-z0-9_]+\);/)) {
            text = substr($0, RSTART, RLENGTH)
            $0 = substr($0, RSTART + RLENGTH)
            kind = text ~ /EXTENSIBLE/ ? "EXTENSIBLE_" : ""
            gsub(/.*\(MP_QSTR_|\);$/, "", text)
            split(text, part, /, */)
            print "extern const struct _mp_obj_module_t " part[2] ";"
            table[kind] = table[kind] " { MP_ROM_QSTR(MP_QSTR_" part[1] "), MP_ROM_PTR(&" part[2] ") },"
        }
        while (match($0, /MP_REGISTER_MODULE_DELEGATION\([^)]*\);/)) {
            text = substr($0, RSTART, RLENGTH)
            $0 = substr($0, RSTART + RLENGTH)
            gsub(/.*\(|\);$/, "", text)
            split(text, part, /, */)
            print "extern void " part[2] "(mp_obj_t self_in, qstr attr, mp_obj_t *dest);"
            delegations = delegations " { MP_ROM_PTR(&" part[1] "), " part[2] " },"
        }
    }
    END {
        print "#define MICROPY_REGISTERED_MODULES" table[""]
        print "#define MICROPY_REGISTERED_EXTENSIBLE_MODULES" table["EXTENSIBLE_"]
        if (delegations) print "#define MICROPY_MODULE_DELEGATIONS" delegations
    }' all.i >moduledefs.h
awk '{
    while (match($0, /MP_REGISTER_ROOT_POINTER\([^;]*\);/)) {
        print substr($0, RSTART + 25, RLENGTH - 27) ";"
        $0 = substr($0, RSTART + RLENGTH)
    }
}' all.i | sort -u >root_pointers.h
rm all.i unsorted.h
