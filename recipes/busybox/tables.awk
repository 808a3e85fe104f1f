# Upstream's host programs applet_tables and usage, which would have to be compiled for the machine that builds: what they
# print, out of the preprocessed list of applets. In, sorted by name: "NAME" "MAIN" "HELP" "DIRECTORY" FLAGS, FLAGS being 2 for
# an applet that the shell runs without exec, 3 for one without fork. Out: applet_tables.h, NUM_APPLETS.h,
# usage_compressed.h and applets.txt in DIRECTORY.
BEGIN { FS = "\"" }
{
    name[NR - 1] = $2
    main[NR - 1] = $4
    help[NR - 1] = $6
    place[NR - 1] = $8
    flags[NR - 1] = $9 + 0
    start[NR - 1] = length_of_names
    length_of_names += length($2) + 1
}
END {
    out = directory "/NUM_APPLETS.h"
    print "#define NUM_APPLETS " NR >out
    out = directory "/applet_tables.h"
    steps = NR < 32 ? 0 : NR < 128 ? 4 : 8 # how many names a look-up starts from
    print "#define NUM_APPLETS " NR "\n#define KNOWN_APPNAME_OFFSETS " steps >out
    if (steps) {
        print "const uint16_t applet_nameofs[] ALIGN2 = {" >out
        for (i = 1; i < steps; i++) print start[int(i * NR / steps)] "," >out
        print "};" >out
    }
    print "const char applet_names[] ALIGN1 = \"\"" >out
    for (i = 0; i < NR; i++) print "\"" name[i] "\\0\"" >out
    print ";" >out
    for (i = 0; i < NR; i++) if (name[i] ~ /^[a-zA-Z0-9_]+$/) print "#define APPLET_NO_" name[i] " " i >out
    print "#ifndef SKIP_applet_main\nint (*const applet_main[])(int argc, char **argv) = {" >out
    for (i = 0; i < NR; i++) print main[i] "_main," >out
    print "};\n#endif\nconst uint8_t applet_flags[] ALIGN1 = {" >out
    for (i = 0; i < NR; i += 4) print flags[i] + 4 * flags[i + 1] + 16 * flags[i + 2] + 64 * flags[i + 3] "," >out
    directories = split("/ /bin/ /sbin/ /usr/bin/ /usr/sbin/", path, " ") # bb_install_loc_t, in its order
    for (i = 1; i <= directories; i++) number[path[i]] = i - 1
    print "};\nconst uint8_t applet_install_loc[] ALIGN1 = {" >out
    for (i = 0; i < NR; i += 2) print number[place[i]] + 16 * number[place[i + 1]] "," >out
    print "};" >out
    out = directory "/applets.txt"
    for (i = 0; i < NR; i++) print substr(place[i], 2) name[i] >out
    out = directory "/usage_compressed.h" # not compressed, whatever its name: no bzip2 here, and .upx and layers are
    print "#include \"usage.h\"\n#define UNPACKED_USAGE \\" >out
    for (i = 0; i < NR; i++) print help[i] "_trivial_usage \"\\0\" \\" >out
    print "\n#define UNPACKED_USAGE_LENGTH 65536" >out # only asked whether it is small
}
