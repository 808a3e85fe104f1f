#!/bin/sh
# Perl for the building machine: OUT/bin/perl, and OUT/lib, which it finds from its own place.
# In: BOX, SRC, WORK, OUT, NEED_MAKE, SYSROOT, JOBS, CFLAGS, LDFLAGS.
set -eu
export PATH="$NEED_MAKE:$PATH"
cd "$SRC"
# It runs for seconds only. Its flags become part of %Config, where no place of this machine may be named; its own files are
# compiled by relative paths, so that nothing has to be mapped.
flags=" ${CFLAGS#*" -w "} "
flags="-D_GNU_SOURCE -w${flags%% -ffile-prefix-map=*}"

# What OpenSSL's scripts ask for, and what that asks for, of the modules with C in them; those of Perl alone are all made.
compiled="Cwd Data/Dumper Encode Fcntl File/Glob IO List/Util MIME/Base64 POSIX Storable Time/Piece attributes mro re"

# Headers and libraries are ours alone. .../ is the directory of the program.
sh ./Configure -des -E -Dcc=cc -Dar=ar -Dranlib=: -Doptimize=-O1 "-Accflags=$flags" "-Dldflags=$LDFLAGS" \
    -Dprefix=/perl -Dprivlib=.../../lib -Darchlib=.../../lib -Duserelocatableinc -Dprocselfexe='"/proc/self/exe"' \
    -Uusedl -Uusenm -Uusethreads "-Donlyextensions=$compiled" -Dman1dir=none -Dman3dir=none \
    "-Dusrinc=$SYSROOT/include" "-Dlibc=$SYSROOT/lib/libc.a" -Dlibpth=' ' -Dglibpth=' ' -Dplibpth=' ' -Dxlibpth=' ' \
    -Dlocincpth=' ' -Dloclibpth=' ' -Dlibs=' ' -Dlibswanted=' ' -Dperllibs=' ' \
    -Dosname=linux -Dosvers=0 -Dmyhostname=localhost -Dmydomain=. -Dcf_by=fromscratch -Dcf_email=none -Dperladmin=none

# Its answers go into %Config: without what they say of this machine, which only Configure itself has to know. Of
# Encode its own tables are enough.
{
    for name in cf_time config_args full_csh groupcat hostcat incpth issymlink libc libpth libspath myuname pager passcat \
        perl5 rm_try sysman timeincl usrinc; do
        echo "s@^$name='.*'@$name=''@"
    done
    cat <<END
/^# /d
/^config_arg[0-9]/d
s@^\(full_[a-z]*\|lns\)='.*/@\1='@
/^static_ext=/s@ Encode/[A-Za-z]*@@g
END
} >"$WORK/edits"
mv config.sh "$WORK/"
sed -f "$WORK/edits" "$WORK/config.sh" >config.sh
sh ./Configure -S
make -j "$JOBS" -f Makefile perl

mkdir "$OUT/bin"
cp perl "$OUT/bin/"
cp -R lib "$OUT/lib"
cd "$OUT/lib"
# What nothing of that asks for. IPC::Cmd asks MakeMaker what is a command.
rm -r App Archive B CPAN CPAN.pm Compress HTTP IO/Compress IO/Uncompress JSON Math Module/CoreList* Net Pod/Perldoc* TAP \
    Test Test2 Unicode buildcustomize.pl unicore perl5db.pl
find . -type f ! -name '*.p[lm]' ! -name '*.al' ! -name '*.ix' -exec rm {} +
find . -depth -type d -exec rmdir {} + 2>/dev/null || true # those that are empty now
cd /
env -i "$OUT/bin/perl" -MPod::Usage -MIPC::Cmd=can_run -MTime::Piece -e 'can_run("/bin/sh") or die; print "Perl $^V\n"'
