#!/usr/bin/env bash
# Downloads one file of a release, and hands it out only if the release's key has signed for its bytes: action.yml runs
# this. By hand:
#
#   PRODUCT=curl:https PUBLIC_KEY=RW… RELEASE=https://example.org/releases/1.0 .github/action.sh
#
# Needs bash, curl, sha256sum, and minisign or OpenSSL 3. All that it is told comes in environment variables.
#   PRODUCT     name, or name:variant
#   PUBLIC_KEY  the line that minisign.pub ends with
#   RELEASE     where the release's files are: a URL, or a directory
#   VERSION     empty: the one that the release has
#   TARGET      linux/arm64 …; empty: this machine's
#   PACKED      true: the file that UPX packed
#   DIRECTORY   where the file goes; empty: a directory below $RUNNER_TEMP or /tmp
# Prints the file's path; writes path, version and sha256 into $GITHUB_OUTPUT.
set -euo pipefail
export LC_ALL=C
umask 022

fail() { # on one line: what comes after it could be another command to the runner
    local why=$*
    printf '::error::%s\n' "${why//[[:cntrl:]]/ }" >&2
    exit 1
}

machine() {
    case $(uname -m) in
        x86_64) echo linux/amd64 ;;
        aarch64) echo linux/arm64 ;;
        armv7l) echo linux/arm/v7 ;;
        armv6l) echo linux/arm/v6 ;;
        i?86) echo linux/386 ;;
        riscv64) echo linux/riscv64 ;;
        ppc64le) echo linux/ppc64le ;;
        s390x) echo linux/s390x ;;
        loongarch64) echo linux/loong64 ;;
        *) fail "no release has files for this machine, $(uname -m)" ;;
    esac
}

product=${PRODUCT:-} version=${VERSION:-} target=${TARGET:-} release=${RELEASE:-} key=${PUBLIC_KEY:-}
[[ -n $target ]] || target=$(machine)
[[ $product =~ ^[a-z0-9]+(-[a-z0-9]+)*(:[a-z0-9]+)?$ ]] || fail "'$product' is no product, such as curl:https"
[[ $version =~ ^([0-9A-Za-z_][0-9A-Za-z._]*(-r[0-9]+)?)?$ ]] || fail "'$version' is no version"
[[ $target =~ ^linux/[a-z0-9]+(/v[0-9])?$ ]] || fail "'$target' is no target, such as linux/arm64"
[[ $key =~ ^[A-Za-z0-9+/]{56}$ ]] || fail "the public key is not the one line of 56 letters that minisign.pub ends with"
case $release in
    https://* | http://* | file:///*) ;;
    /*) release=file://$release ;;
    *) fail "'$release' is neither a URL nor an absolute path" ;;
esac
case ${PACKED:-false} in
    true) suffix=.upx ;;
    false) suffix= ;;
    *) fail "packed is true or false, not '$PACKED'" ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Nothing that comes is believed before its sum is: a larger file than any of ours is none.
get() {
    curl -fsSL --proto '=https,http,file' --proto-redir '=https,http' --connect-timeout 20 --max-time 300 \
        --retry 4 --retry-connrefused --max-filesize 50000000 --output "$work/$2" "${release%/}/$1" ||
        fail "${release%/}/$1 cannot be had"
}

ed25519() { # signed file, signature
    openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key.der" -rawin -in "$1" -sigfile "$2" >/dev/null 2>&1
}

# https://jedisct1.github.io/minisign/#signature-format
check_by_openssl() {
    local lines
    mapfile -t lines <"$work/SHA256SUMS.minisig"
    [[ ${#lines[@]} -eq 4 && ${lines[2]} == 'trusted comment: '* ]] || return 1
    base64 -d <<<"$key" >"$work/key" 2>/dev/null || return 1
    base64 -d <<<"${lines[1]}" >"$work/signature" 2>/dev/null || return 1
    base64 -d <<<"${lines[3]}" >"$work/global" 2>/dev/null || return 1
    [[ $(wc -c <"$work/signature") -eq 74 && $(wc -c <"$work/global") -eq 64 ]] || return 1
    [[ $(head -c 2 "$work/key") == Ed && $(head -c 2 "$work/signature") == ED ]] || return 1
    cmp -s <(tail -c +3 "$work/key" | head -c 8) <(tail -c +3 "$work/signature" | head -c 8) || return 1
    # The point as RFC 8410 writes a public key down.
    { printf '\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00' && tail -c 32 "$work/key"; } >"$work/key.der"
    tail -c 64 "$work/signature" >"$work/raw"
    openssl dgst -blake2b512 -binary -out "$work/hash" "$work/SHA256SUMS" || return 1
    { cat "$work/raw" && printf %s "${lines[2]#trusted comment: }"; } >"$work/trusted"
    ed25519 "$work/hash" "$work/raw" && ed25519 "$work/trusted" "$work/global"
}

get SHA256SUMS SHA256SUMS
get SHA256SUMS.minisig SHA256SUMS.minisig
if command -v minisign >/dev/null; then
    minisign -V -H -q -P "$key" -m "$work/SHA256SUMS" -x "$work/SHA256SUMS.minisig" >/dev/null 2>&1 ||
        fail "SHA256SUMS is not signed by this key"
elif openssl version 2>/dev/null | grep -q '^OpenSSL [3-9]'; then
    check_by_openssl || fail "SHA256SUMS is not signed by this key"
else
    fail "neither minisign nor OpenSSL 3 is installed: the signature cannot be checked"
fi

# Exactly one line of the list; a version begins with a digit, so that curl is not taken for curl-https.
wanted=${version//./[.]}
pattern="^([0-9a-f]{64})  (${product/:/-}-(${wanted:-[0-9][0-9A-Za-z._]*(-r[0-9]+)?})-${target//\//-}${suffix/./[.]})\$"
found=()
while IFS= read -r line; do
    [[ $line =~ $pattern ]] && found+=("$line")
done <"$work/SHA256SUMS"
[[ ${#found[@]} -gt 0 ]] || fail "the release has no $product ${version:-} for $target${suffix:+, packed}"
[[ ${#found[@]} -eq 1 ]] || fail "the release has several versions of $product: say which"
[[ ${found[0]} =~ $pattern ]]
sha256=${BASH_REMATCH[1]} name=${BASH_REMATCH[2]} version=${BASH_REMATCH[3]}

get "$name" file
sha256sum --check --strict --status <<<"$sha256  $work/file" || fail "$name is not what the release's list says"

directory=${DIRECTORY:-${RUNNER_TEMP:-/tmp}/fromscratch}
mkdir -p "$directory"
chmod 755 "$work/file"
mv -f "$work/file" "$directory/$name"
if [[ -n ${GITHUB_OUTPUT:-} ]]; then
    printf '%s\n' "path=$directory/$name" "version=$version" "sha256=$sha256" >>"$GITHUB_OUTPUT"
fi
printf '%s\n' "$directory/$name"
