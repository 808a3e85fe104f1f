# Apply a unified diff below the directory `source`: awk -v source=DIR -f patch.awk FILE.patch ...
# What a hunk takes out must be there exactly once, wherever that is; line numbers mean nothing. Otherwise: exit code 1.
function fail(why) {
    print FILENAME ": " path ": " why >"/dev/stderr"
    failed = 1
    exit 1
}
function end_hunk(at) {
    if (old == "") return
    at = index(text, old)
    if (!at) fail("these lines are not there, upstream has changed:\n" old)
    if (index(substr(text, at + 1), old)) fail("these lines are there more than once:\n" old)
    text = substr(text, 1, at - 1) new substr(text, at + length(old))
    old = new = ""
}
function end_file() {
    end_hunk()
    if (path == "") return
    printf "%s", text >path
    if (close(path)) fail("cannot be written")
}
FNR == 1 { end_file(); path = "" }
/^--- a\// { end_file(); path = ""; next }
/^\+\+\+ b\// {
    path = source "/" substr($2, 3)
    text = ""
    while ((getline line <path) > 0) text = text line "\n"
    close(path)
    if (text == "") fail("is not there")
    next
}
path == "" { next } # words on what it is for
/^@@/ { end_hunk(); next }
/^[ -]/ { old = old substr($0, 2) "\n" }
/^[ +]/ { new = new substr($0, 2) "\n" }
/^$/ { old = old "\n"; new = new "\n" } # an empty line that lost its blank
END {
    if (failed) exit 1
    end_file()
}
