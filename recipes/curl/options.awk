# Take options out of the tool: its table of options, the code for each, its help.
# In: awk -v source=DIR -v switches="-DNAME=VALUE ..." -f options.awk options.txt
# An option that the tool does not have is an error: upstream has changed.
function fail(why) {
    print FILENAME ": " why >"/dev/stderr"
    failed = 1
    exit 1
}
function holds(condition) {
    if (condition == "always") return 1
    if (condition !~ /^[A-Z0-9_]+!?=[A-Z0-9.]+$/) fail("what is '" condition "'?")
    return sub(/!=/, "=", condition) ? !(condition in given) : condition in given
}
function read_lines(file, line, count) {
    count = 0
    while ((getline line <(source "/" file)) > 0) lines[++count] = line
    close(source "/" file)
    if (!count) fail(file " is not there")
    return count
}
function write_lines(file, count, at) {
    for (at = 1; at <= count; at++) if (at in lines) print lines[at] >(source "/" file)
    if (close(source "/" file)) fail(file " cannot be written")
    split("", lines)
}
BEGIN {
    count = split(switches, words, " ")
    for (at = 1; at <= count; at++) given[substr(words[at], 3)]
}
/^#/ || /^$/ { next }
{
    count = split($1, words, "&")
    fits = 1
    for (at = 1; at <= count; at++) fits = holds(words[at]) && fits
    for (at = 2; at <= NF; at++) {
        if (known[$at]++) fail($at " is there twice")
        if (fits) gone[$at]
    }
}
END {
    if (failed) exit 1
    # The table: a row is a line, or two.
    count = read_lines("src/tool_getparam.c")
    for (at = 1; at <= count; at++) {
        row = lines[at]
        if (row ~ /^  \{"[a-z0-9.-]+" *, *ARG_/) {
            split(row, words, "\"")
            option = words[2]
            if (!(option in gone)) continue
            rows[option]++
            delete lines[at]
            if (row !~ /\},$/) {
                at++
                row = row lines[at]
                delete lines[at]
            }
            match(row, /C_[A-Z0-9_]+\}/)
            labels[substr(row, RSTART, RLENGTH - 1)]
        } else if (match(row, /^  case C_[A-Z0-9_]+:/) && substr(row, 8, RLENGTH - 8) in labels) {
            lines[at] = "  " substr(row, RLENGTH + 1) # what follows is behind the end of another case: never reached
        }
    }
    write_lines("src/tool_getparam.c", count)
    # The help: an entry is three lines, or more. Not every option has one.
    count = read_lines("src/tool_listhelp.c")
    for (at = 1; at <= count; at++) {
        if (lines[at] !~ /^  \{ ?"/) continue
        option = lines[at]
        sub(/^[^-]*(-., )?--/, "", option)
        sub(/[ ",].*/, "", option)
        bare = option
        sub(/^no-/, "", bare)
        if (!(option in gone || bare in gone)) continue
        helped++
        while (lines[at] !~ /\},$/) delete lines[at++]
        delete lines[at]
    }
    write_lines("src/tool_listhelp.c", count)
    for (option in gone) if (rows[option] != 1) fail("the tool has no option " option)
    if (!helped) fail("the tool's help has another form")
}
