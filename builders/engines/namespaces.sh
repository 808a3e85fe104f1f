#!/bin/sh
# What bubblewrap does, with util-linux alone: a new root out of read-only binds, then one program in it.
# Runs as (mapped) root inside fresh mount, pid and network namespaces made by unshare(1).
# Arguments: ROOT (empty directory), then binds as MODE:TARGET:SOURCE (ro or rw; SOURCE may hold colons), "--", the program.
set -eu
root=$1
shift
mount -t tmpfs -o mode=755 fromscratch "$root"
while [ "$1" != -- ]; do
    mode=${1%%:*}
    rest=${1#*:}
    source=${rest#*:}
    target=$root${rest%%:*}
    if [ "$mode" = ln ]; then
        ln -s "$source" "$target"
    else
        if [ -d "$source" ]; then mkdir -p "$target"; else mkdir -p "${target%/*}" && : >"$target"; fi
        mount --rbind "$source" "$target"
        # Flags that the outer mount has locked must be repeated: https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
        if [ "$mode" = ro ]; then
            locked=$(findmnt -n -o OPTIONS -T "$source" | tr , '\n' | grep -E '^(nosuid|nodev|noexec|relatime|noatime)$' | tr '\n' ,)
            mount -o "remount,bind,ro,${locked%,}" "$target"
        fi
    fi
    shift
done
shift
exec "$@"
