# Leaves out of the interpreter's tables of names what nothing can ask for: neither the frozen program nor C. The linker then
# leaves out the functions. Nothing makes a name while it runs: for that the program would have to name getattr or setattr.
# Usage: awk -v out=DIRECTORY -f trim.awk frozen.c pass=1 FILE.c ... pass=2 FILE.c ...     made: DIRECTORY/FILE.c
function note(text) {
    while (match(text, /MP_QSTR_[A-Za-z0-9_]+/)) {
        named[substr(text, RSTART + 8, RLENGTH - 8)] = 1
        text = substr(text, RSTART + RLENGTH)
    }
}
!pass {
    note($0)
    next
}
FNR == 1 {
    if (("getattr" in named) || ("setattr" in named)) {
        print "trim.awk: the program may make names while it runs" >"/dev/stderr"
        failed = 1
        exit 1
    }
    file = FILENAME
    sub(/.*\//, out "/", file)
}
{ row = /^ *\{ *MP_ROM_QSTR\(MP_QSTR_[A-Za-z0-9_]+\), *MP_ROM_PTR\(.*\) *\},$/ }
pass == 1 && /MP_DEFINE_CONST_OBJ_TYPE\($/ { heading = 3 } # this line, the type and its name, which only messages show
pass == 1 {
    if (heading > 0)
        heading--
    else if (!row)
        note($0)
    next
}
row {
    name = $0
    sub(/^ *\{ *MP_ROM_QSTR\(MP_QSTR_/, "", name)
    sub(/\).*/, "", name)
    if (!(name in named))
        $0 = "    { MP_ROM_QSTR(MP_QSTRnull), MP_ROM_NONE }," # not no row: str and bytes count those of their table
}
{ print >file }
END { exit failed }
