# Kbuild without make: the objects of what is switched on. In: autoconf.h, then every Kbuild. Conditions (ifeq) are passed over:
# they keep files of modprobe and last apart, which are not in this busybox.
/^#define ENABLE_[A-Z0-9_a-z]+ 1$/ { on["$(CONFIG_" substr($2, 8) ")"] }
FILENAME !~ /Kbuild$/ { next }
FNR == 1 { rest = "" }
{
    sub(/#.*/, "")
    $0 = rest $0
    rest = ""
    if (sub(/\\$/, "")) { rest = $0; next }
    if (!match($0, /[+:]?=/)) next
    variable = substr($0, 1, RSTART - 1)
    gsub(/[ \t]/, "", variable)
    count = split(substr($0, RSTART + RLENGTH), words)
    if (variable ~ /_FILES$/) { list["$(" variable ")"] = substr($0, RSTART + RLENGTH); next }
    made = variable
    if (!sub(/^(lib|obj)-/, "", made) || !(made == "y" || made in on)) next
    directory = FILENAME
    sub(/Kbuild$/, "", directory)
    for (i = 1; i <= count; i++) {
        inner = split(words[i] in list ? list[words[i]] : words[i], names)
        for (j = 1; j <= inner; j++) if (sub(/\.o$/, "", names[j])) print directory names[j]
    }
}
