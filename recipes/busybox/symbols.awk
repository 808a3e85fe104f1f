# Kconfig without kconfig: autoconf.h out of what is asked for and what there is.
# In: recipes/busybox/config, then every Config.in. A word that upstream does not know is an error.
FNR == 1 { file++ }
file == 1 {
    sub(/#.*/, "")
    for (i = 1; i <= NF; i++) {
        name = $i
        if (sub(/\?$/, "", name)) newer[name]
        value[name] = sub(/=.*/, "", name) ? substr($i, length(name) + 2) : 1
        asked[name]
    }
    next
}
$1 == "config" { name = $2 }
$1 == "help" { name = "" }
name == "" { next }
$1 == "bool" { kind[name] = $1 }
$1 == "int" || $1 == "string" { kind[name] = $1; if (!(name in value)) value[name] = $1 == "int" ? 0 : "\"\"" }
$1 == "default" && kind[name] != "bool" && !(name in asked) && !(name in given) {
    given[name]
    value[name] = kind[name] == "int" ? $2 : substr($0, index($0, "\""))
}
END {
    for (name in asked)
        if (!(name in kind) && !(name in newer)) {
            print "config: upstream knows no symbol " name | "cat >&2"
            exit 1
        }
    for (name in kind) {
        on = name in value
        print "#define ENABLE_" name " " (on ? 1 : 0)
        print "#define IF_" name "(...)" (on ? " __VA_ARGS__" : "")
        print "#define IF_NOT_" name "(...)" (on ? "" : " __VA_ARGS__")
        if (on) print "#define CONFIG_" name " " value[name]
    }
}
