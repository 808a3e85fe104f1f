"""The script that packs: what it makes can be packed again to the same bytes, or it makes nothing."""

import subprocess
from pathlib import Path

import pytest

from builders.key import PACK_SCRIPT

UPX = """#!/bin/sh
# Packs by a line in front, and unpacks by taking it away. The first time that it packs it writes STUB.
last= made=
while [ $# -gt 0 ]; do
    case $1 in
    -d) unpack=1 ;;
    -t) exit 0 ;;
    -o) made=$2 && shift ;;
    -*) ;;
    *) last=$1 ;;
    esac
    shift
done
if [ "${unpack-}" ]; then
    tail -n +2 "$last" >"$made"
else
    [ -e "$WORK/stub" ] && stub=$(cat "$WORK/stub") || stub=stub
    rm -f "$WORK/stub"
    { echo "$stub" && cat "$last"; } >"$made"
fi
"""


@pytest.mark.parametrize("method", ["nrv", "lzma"])
@pytest.mark.parametrize(("stub", "good"), [("", True), ("stub", True), ("another stub", False)])
def test_a_stub_that_upx_does_not_write_twice_ends_the_step(
    tmp_path: Path, stub: str, good: bool, method: str
) -> None:
    directories = {
        name: tmp_path / name.lower() for name in ("NEED_PLAIN", "NEED_UPX", "WORK", "OUT")
    }
    for path in directories.values():
        path.mkdir()
    (directories["NEED_PLAIN"] / "program").write_text("a program\n", "utf-8")
    (directories["NEED_UPX"] / "upx").write_text(UPX, "utf-8")
    (directories["NEED_UPX"] / "upx").chmod(0o755)
    if stub:
        (directories["WORK"] / "stub").write_text(stub, "utf-8")
    environment = {name: str(path) for name, path in directories.items()}
    done = subprocess.run(
        ["/bin/sh", str(PACK_SCRIPT)],
        env={"PATH": "/usr/bin:/bin", "METHOD": method, **environment},
        capture_output=True,
        check=False,
    )
    assert (done.returncode == 0) is good, done.stderr
    assert (directories["OUT"] / "unpacked").read_text("utf-8") == "a program\n"
