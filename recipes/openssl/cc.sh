#!/bin/sh
# The compiler, as OpenSSL's Makefile and its Perl call it.
set -eu
# Perl asks with -v what the assembler knows, and writes AVX-512 from version 7 on. There is no option to leave
# that out, which is large and for few CPUs: 6 has all up to AVX2 and ADX.
if [ "$*" = -v ]; then
    echo "clang version 6.0.0"
    exit
fi
for word; do
    shift
    case $word in
    *.s | *.S) # without tables for unwinding, as all C is
        copy=$(echo "plain/$word" | tr -d .).${word##*.}
        mkdir -p "${copy%/*}"
        sed '/^[[:space:]]*\.cfi_/d' "$word" >"$copy"
        word=$copy
        ;;
    esac
    set -- "$@" "$word"
done
exec cc "$@"
