"""The measuring itself: what counts as missed, what a timed build may find in its cache, how a run is measured."""

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import trustme

from bench.anchors import encode, hash_name, trusting
from bench.bars import BARS, COLD_BUILDS, CURLS, LARGE, PROBES, SMALLER, Measure
from bench.builds import seed
from bench.bulk import compared
from bench.checks import checks_of, copied, users_of, without
from bench.counts import Count, exact_instructions, instructions, system_calls
from bench.curl_runs import ratios
from bench.curls import NOT_BUILT, PEM, curls
from bench.memory import peak
from bench.peers import Rival, absent, c_floor, others, rust_twin
from bench.probes import figure, refusal, sizes, smaller
from bench.record import AGAINST, remember
from bench.report import Figure, bars, show, side_by_side
from bench.runs import Case, spend
from bench.server import BULK, CIPHER, serving
from bench.sizes import anchors_in, authorities_in, bundle_in, offered, sizes_of
from builders.sources.cache import Cache
from flow.context import ROOT
from probe.checks import CHECKS
from recipes.load import list_products, load_recipes
from tests.fakes import put_bytes


@pytest.mark.parametrize(
    ("value", "state"),
    [(9, "ok"), (10, "ok"), (11, "ok, aim missed"), (20, "ok, aim missed"), (21, "MISSED")],
)
def test_state(value: float, state: str) -> None:
    assert Figure(name="x", unit="s", value=value, must=20, aim=10).state == state


def test_what_was_not_measured_is_neither_good_nor_missed() -> None:
    figure = Figure(name="x", unit="s", value=None, must=20, why="no engine")
    assert figure.state == "not measured: no engine"
    assert "not measured: no engine" in show([figure])


def test_a_figure_without_a_bar_is_only_told() -> None:
    assert Figure(name="x", unit="s", value=1).state == ""


def test_an_aim_without_a_must_is_never_missed() -> None:
    assert Figure(name="x", unit="ratio", value=0.9, aim=1).state == "ok"
    assert Figure(name="x", unit="ratio", value=1.1, aim=1).state == "aim missed"


def test_the_ca_bundle_is_found_in_a_file() -> None:
    begin, end = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
    bundle = begin + b"AA==\n" + end + begin + b"BB==\n" + end
    assert bundle_in(b"\0before" + bundle + b"\0after") == len(bundle)
    assert bundle_in(b"nothing") == 0


def anchors(records: list[bytes], hashes: list[int]) -> bytes:
    """In the form of ``recipes/cacert/format.h``."""
    index = [
        number.to_bytes(2, "big") + len(record).to_bytes(2, "big")
        for number, record in zip(sorted(hashes), records, strict=True)
    ]
    return b"ANCHORS\1" + len(records).to_bytes(2, "big") + b"".join(index) + b"".join(records)


def test_anchors_are_found_in_a_file_and_not_what_only_looks_like_them() -> None:
    chance = random.Random(1)
    for number in (1, 2, 117):
        blob = anchors(
            [chance.randbytes(chance.randrange(20, 900)) for _ in range(number)],
            [chance.randrange(65536) for _ in range(number)],
        )
        noise = b"\0ANCHORS\1\0ANCHORS\1"
        assert anchors_in(noise + blob + noise) == (number, len(blob))
        assert anchors_in(blob[:-1]) == (0, 0)
        assert authorities_in(blob) == len(blob)
    assert anchors_in(b"ANCHORS\1" + bytes(99)) == anchors_in(b"") == (0, 0)


@pytest.mark.parametrize("lengths", [(1,), (700, 65535, 20)])
def test_the_trust_anchors_are_counted(lengths: tuple[int, ...]) -> None:
    blob = anchors([b"r" * length for length in lengths], [0xFFFF] * len(lengths))
    assert authorities_in(b"\0before" + blob + b"after") == len(blob)


def test_seed_for_a_cold_build_takes_sources_alone(tmp_path: Path) -> None:
    old, new = Cache(tmp_path / "old"), Cache(tmp_path / "new")
    sha256 = put_bytes(old, b"musl")
    old.put_action("key-musl", {"step": "musl 1 linux/amd64", "output": sha256, "files": {}})
    old.put_action("origin-x", {"url": "https://x.example/"})
    seed(old, new, load_recipes(), steps=())
    assert [entry.name for entry in new.entries()] == ["origin-x"]


def test_seed_takes_sources_and_sysroot_and_nothing_of_curl(tmp_path: Path) -> None:
    old, new = Cache(tmp_path / "old"), Cache(tmp_path / "new")
    blobs = {name: put_bytes(old, name.encode()) for name in ("musl", "upx", "curl")}
    for name, sha256 in blobs.items():
        step = f"{name} 1 linux/amd64"
        old.put_action(f"key-{name}", {"step": step, "output": sha256, "files": {}})
    old.put_action("proof", {"ok": True, "findings": []})
    old.put_action("origin-x", {"url": "https://x.example/"})
    seed(old, new, load_recipes())
    assert sorted(entry.name for entry in new.entries() if entry.name not in blobs.values()) == [
        "key-musl",
        "key-upx",
        "origin-x",
    ]
    assert new.blob(blobs["musl"]) is not None
    assert new.blob(blobs["curl"]) is None


def test_spend_counts_time_and_checks_the_exit_code() -> None:
    shell = shutil.which("sh") or "sh"
    assert spend(Case(name="x", words=(shell, "-c", "exit 7"), code=7)) > 0
    with pytest.raises(RuntimeError, match="ended with 7, not 0"):
        spend(Case(name="x", words=(shell, "-c", "exit 7")))


def test_peak_is_the_programs_own_and_not_this_pythons() -> None:
    found = peak([shutil.which("true") or "true"])
    if found is None:
        pytest.skip("this process may not trace another")
    resident, kept = found
    assert 0 < kept <= resident < 10_000


def test_calls_are_counted_or_it_is_said_why_not() -> None:
    true, shell = shutil.which("true") or "true", shutil.which("sh") or "sh"
    less, more = (system_calls([shell, "-c", "; ".join([true] * times)]) for times in (1, 3))
    if less.value is None:
        assert less.why
        pytest.skip(less.why)
    # Those of the children, too.
    assert more.value is not None
    assert 0 < less.value < more.value
    assert system_calls([shell, "-c", "exit 3"]).value is None
    assert "apt-get install -y strace" in system_calls([true], strace="no-such-tool").why
    assert "apt-get install -y linux-perf" in instructions([true], perf="no-such-tool").why


@pytest.mark.parametrize(
    ("said", "value", "why"),
    [
        ("<not supported>,,instructions:u,0,100.00,,", None, "perf says: not supported"),
        ("Access to performance monitoring is limited.", None, "perf says: nothing"),
        ("# started on a day\n\n1234567,,instructions:u,9,100.00,1.2,insn per cycle", 1234567, ""),
    ],
)
def test_instructions_are_what_perf_says(
    tmp_path: Path, said: str, value: float | None, why: str
) -> None:
    tool = tmp_path / "perf"
    # perf stat -x, -e instructions:u -o LOG -- WORDS
    tool.write_text(f'#!/bin/sh\ncat >"$6" <<\'END\'\n{said}\nEND\nshift 7\nexec "$@"\n')
    tool.chmod(0o755)
    assert instructions([shutil.which("true") or "true"], perf=str(tool)) == (value, why)


def test_every_bar_is_of_a_program_that_is_measured_and_can_be_missed() -> None:
    assert {name for name, _ in BARS} <= {*PROBES, *CURLS, *LARGE}
    assert {name for name, _ in BARS} >= {*PROBES, *CURLS}
    assert all(0 < bar.aim < bar.must for bar in BARS.values())
    for (name, measure), bar in BARS.items():
        for value, state in (
            (bar.aim, "ok"),
            (bar.must, "ok, aim missed"),
            (bar.must + 1, "MISSED"),
        ):
            shown = Figure(f"{name}: {measure}", measure.unit, value, must=bar.must, aim=bar.aim)
            assert shown.state == state
            assert shown.bar == ("missed" if state == "MISSED" else "met")
    for build in COLD_BUILDS:
        assert 0 < build.bar.aim < build.bar.must


def test_the_table_of_bars_has_what_was_measured_and_has_one() -> None:
    figures = [
        Figure("met", "s", 1, must=2, aim=1),
        Figure("missed", "bytes", 3000, must=2000),
        Figure("not measured", "s", None, must=2, why="no engine"),
        Figure("without a bar", "s", 1),
    ]
    lines = [line.split() for line in bars(figures).splitlines()]
    assert lines[2:] == [
        ["met", "1.00", "2.00", "1.00", "s", "met"],
        ["missed", "3,000", "2,000", "-", "bytes", "missed"],
    ]
    assert bars(figures[2:]) == ""


def test_what_is_kept_is_replaced_by_what_is_measured_again(tmp_path: Path) -> None:
    record = tmp_path / "figures.json"
    first = [Figure("a", "s", 1, must=2), Figure("b", "s", 1, must=2), Figure("c", "s", 1)]
    first.append(Figure("d", "s", 1, row=f"{AGAINST}mine", column="x"))
    remember(first, "2 cores", record=record)
    remember(
        [Figure("b", "s", 3, must=2), Figure("a", "s", None, must=2)], "9 cores", record=record
    )
    kept = json.loads(record.read_text())["figures"]
    assert [(it["name"], it["value"], it["bar"], it["machine"]) for it in kept] == [
        ("a", 1, "met", "2 cores"),
        ("b", 3, "missed", "9 cores"),
    ]


@pytest.mark.parametrize("cost", [0.1, 0.49, 0.51, 3])
def test_the_anchors_are_compared_with_a_bundle_of_the_same_run(cost: float) -> None:
    def spent(row: str, value: float | None, measure: Measure) -> Figure:
        return figure(Rival(name=row), measure, Count(value))

    both = [Rival(name="curl:https"), Rival(name=PEM), Rival(name="curl:mini")]
    times = [spent("curl:https", cost, Measure.INSIDE), spent(PEM, 1, Measure.INSIDE)]
    inside, refused = ratios(both, times)
    assert inside.value == cost
    assert (inside.bar == "met") == (cost <= 0.5) or inside.must is None
    assert refused.value is None


def test_a_curl_is_told_whom_to_trust_in_both_ways(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    file = tmp_path / "curl"
    file.write_bytes(anchors([b"r" * 900], [1]))
    urls = {"ca": str(authority), "http": "http://x/", "https": "https://x/"}
    found = {it.name: it for it in curls(urls, {("curl:https", False): file}, tmp_path)}
    assert found["curl:mini"].why == NOT_BUILT
    assert found["curl:https"].inside[1:] == ("-s", "https://x/")
    assert anchors_in(Path(found["curl:https"].inside[0]).read_bytes()).number == 1
    bundle = Path(found[PEM].inside[found[PEM].inside.index("--cacert") + 1]).read_bytes()
    assert bundle.count(b"BEGIN CERTIFICATE") > 100
    assert bundle.endswith(authority.read_bytes())


def test_instructions_are_those_of_callgrind_where_it_is(tmp_path: Path) -> None:
    tool = tmp_path / "valgrind"
    # valgrind --tool=callgrind --callgrind-out-file=OUT --log-file=LOG WORDS
    tool.write_text(
        '#!/bin/sh\necho "==7== Collected : 4711 3 2" >"${3#--log-file=}"\nshift 3\nexec "$@"\n'
    )
    tool.chmod(0o755)
    words = [shutil.which("sh") or "sh", "-c", "exit 60"]
    assert exact_instructions(words, code=60, valgrind=str(tool)) == (4711, "")
    why = exact_instructions(words, valgrind=str(tool), perf="no-such-tool").why
    assert why == "under callgrind it ended with 60; not installed: apt-get install -y linux-perf"
    why = exact_instructions(words, valgrind="no-such-tool", perf="no-such-tool").why
    assert "apt-get install -y valgrind" in why
    assert "apt-get install -y linux-perf" in why


def test_the_twins_do_a_health_check(tmp_path: Path) -> None:
    """Each says by its exit code whether the server is healthy: what fails costs less, and would be no measure."""
    with serving() as urls:
        here = [rival for rival in others(urls, tmp_path) if rival.http]
        for rival in here:
            assert spend(Case(name=rival.name, words=rival.http)) > 0
        port = urls["http"].split(":")[2].split("/")[0]
    if rust := rust_twin(tmp_path):
        done = subprocess.run([rust, urls["http"]], capture_output=True, check=False)
        assert done.returncode == 1
    if floor := c_floor(tmp_path):
        for words in (["127.0.0.1", port, "/"], ["127.0.0.1", port, "x" * 9000], ["127.0.0.1"]):
            assert subprocess.run([floor, *words], check=False).returncode in {1, 2}


def test_measures_have_columns_of_their_own() -> None:
    heads = [measure.head for measure in Measure]
    assert len(heads) == len(set(heads))
    assert all(measure.unit for measure in Measure)


def test_programs_are_shown_side_by_side_with_ratios_to_the_first() -> None:
    values = {"a": (2, None), "b": (1, 8), "c": (0, 4)}
    figures = [
        Figure(f"{row}: {column}", "ms", value, row=row, column=column)
        for row, pair in values.items()
        for column, value in zip(("x", "y"), pair, strict=True)
    ]
    lines = side_by_side([Figure("alone", "s", 1), *figures]).splitlines()
    assert [line.split() for line in lines if line[0] != "-"] == [
        ["program", "x", "y"],
        ["a", "2.00", "(1.00x)", "-"],
        ["b", "1.00", "(0.50x)", "8.00", "(1.00x)"],
        ["c", "0.00", "4.00", "(0.50x)"],
    ]
    assert side_by_side([Figure("alone", "s", 1)]) == ""


def test_anchors_are_no_part_of_a_file_s_size(tmp_path: Path) -> None:
    blob = anchors([b"one", b"two"], [1, 2])
    plain = tmp_path / "probe"
    plain.write_bytes(b"\x7fELF" + blob + b"end")
    found = {it.column: it.value for it in sizes(Rival(name="probe:full", plain=plain))}
    assert found == {Measure.PLAIN.head: 7, Measure.ANCHORS.head: len(blob)}


def test_anchors_are_counted_as_they_lie_in_the_file(tmp_path: Path) -> None:
    """What --dump-ca-embed prints of them is twice as long."""
    blob = anchors([b"one", b"two"], [1, 2])
    plain = tmp_path / "curl"
    plain.write_bytes(b"\x7fELF" + blob + b"end")
    found = {it.name: it.value for it in sizes_of({("curl:https", False): plain})}
    assert found["curl:https: the CA bundle"] == len(blob)
    assert found["curl:https plain, without the CA bundle"] == 7


def test_smaller_is_smaller_in_this_run(tmp_path: Path) -> None:
    ((mine, theirs),) = SMALLER
    files = {name: tmp_path / name for name in (mine, theirs)}
    for one, other in itertools.product((0, 1, 2), repeat=2):
        files[mine].write_bytes(bytes(one))
        files[theirs].write_bytes(bytes(other))
        (shown,) = smaller([Rival(name=name, plain=file) for name, file in files.items()])
        assert shown.state == ("ok" if one < other else "MISSED")
    (shown,) = smaller([Rival(name=mine, plain=files[mine])])
    assert shown.state == f"not measured: {NOT_BUILT}"


def test_what_is_not_there_comes_with_the_command_that_installs_it() -> None:
    rival = absent("Go net/http twin", "golang-go")
    assert "not measured: not installed: apt-get install -y golang-go" in show(
        [figure(rival, Measure.HTTP, Count(None, rival.why))]
    )


def test_a_failure_for_another_reason_is_no_refusal() -> None:
    shell = shutil.which("sh") or "sh"
    for said in ("certificate refused", "no such host"):
        rival = Rival(
            name="x", refused=(shell, "-c", f"echo {said}; exit 1"), says="certificate refused"
        )
        if said == rival.says:
            refusal(rival)
        else:
            with pytest.raises(RuntimeError, match="did not speak of the certificate"):
                refusal(rival)


def test_the_server_ends_with_the_block() -> None:
    with serving() as urls:
        directory = Path(urls["ca"]).parent
        assert urls["http"].startswith("http://127.0.0.1:")
        assert urls["https"].startswith("https://127.0.0.1:")
        assert directory.is_dir()
    assert not directory.exists()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_much_data_comes_whole_and_by_one_cipher() -> None:
    """Else the programs would be compared by what each of them likes best."""
    openssl = shutil.which("openssl")
    assert openssl, "apt-get install -y openssl"
    with serving() as urls:
        words = [openssl, "s_client", "-connect", urls["bulk"].split("/")[2], "-quiet"]
        for cipher, least in ((CIPHER, BULK), ("TLS_AES_128_GCM_SHA256", 0)):
            done = subprocess.run(
                [*words, "-ciphersuites", cipher],
                input=b"GET / HTTP/1.1\r\n\r\n",
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert least <= len(done.stdout) <= least + 200


@pytest.mark.parametrize(("cost", "state"), [(1, "MISSED"), (200, "ok")])
def test_what_moves_much_data_is_compared_in_one_run(tmp_path: Path, cost: int, state: str) -> None:
    """One loop of a shell stands for the work of each: the second curl does a part of the first one's."""
    files = {}
    for product, rounds in (("curl:h2", 200_000), ("curl:full", 200_000 // cost)):
        file = files[product, False] = tmp_path / product
        loop = f"i=0; while [ $i -lt {rounds} ]; do i=$((i+1)); done"
        file.write_bytes(f"#!/bin/sh\n{loop}\nexit\n".encode() + anchors([b"r" * 900], [1]))
        file.chmod(0o755)
    urls = {"ca": "/ca.pem", "bulk": "https://x/"}
    found = {(it.row, it.column): it for it in compared(files, urls, 1)}
    assert found["curl:full", Measure.OF_H2.head].state in {state, f"{state}, aim missed"}
    whole = found["curl:full", Measure.WHOLE.head]
    assert whole.value == files["curl:full", False].stat().st_size
    assert ("curl:h2", Measure.OF_H2.head) not in found


def test_a_curl_that_is_not_there_is_no_other_one() -> None:
    """An old name means another product: it must not be measured in the place of the one that has a bar."""
    products = {product.name for product in list_products(load_recipes())}
    assert set(offered(LARGE)) == set(LARGE) & products
    (missing, *_) = compared({}, {}, 1)
    assert missing.state == f"not measured: {NOT_BUILT}"


def test_an_authority_takes_the_place_of_those_inside(tmp_path: Path) -> None:
    certificate, program, copy = (tmp_path / name for name in ("ca.pem", "probe", "copy"))
    trustme.CA().cert_pem.write_to_path(str(certificate))
    one = encode(certificate.read_bytes())
    assert anchors_in(one) == (1, len(one))
    inside = anchors([b"r" * 900, b"s" * 900], [1, 2])
    program.write_bytes(b"\x7fELF ANCHORS\1" + inside + b"end")
    assert trusting(program, certificate, copy)
    assert copy.read_bytes() == b"\x7fELF ANCHORS\1" + one.ljust(len(inside), b"\0") + b"end"
    for data in (b"\x7fELF", anchors([b"short"], [1])):
        program.write_bytes(data)
        assert not trusting(program, certificate, copy)


@pytest.mark.parametrize(("name", "hashed"), [(b"", 0x9DC5 ^ 0x811C), (b"a", 0xE40C ^ 0x292C)])
def test_names_are_hashed_by_fnv(name: bytes, hashed: int) -> None:
    assert hash_name(name) == hashed
    assert hash_name(b"Root \x0c") == hash_name(b"rOOT \x13")


def test_every_check_of_the_probe_can_be_left_out(tmp_path: Path) -> None:
    """What is built without it is measured: it must run, and know the check no more."""
    table = (ROOT / "probe" / "checks.py").read_text()
    assert list(checks_of(table)) == [check.name for check in CHECKS]
    shutil.copytree(
        ROOT / "probe", tmp_path / "probe", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("http", "unix", "kafka", "process"):
        left = without(table, name)
        assert list(checks_of(left)) == [check.name for check in CHECKS if check.name != name]
        (tmp_path / "probe" / "checks.py").write_text(left)
        words = [sys.executable, "-S", "-B", "-m", "probe", name, "x"]
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, check=False, env={}
        )
        assert (done.returncode, done.stderr) == (1, "")
        assert f"'{name}' is not a check" in done.stdout


def test_what_is_made_of_a_check_goes_with_it() -> None:
    """Else it would keep its module in, and the check would cost nothing."""
    users = {check.name: users_of(check.name, ROOT / "probe") for check in CHECKS}
    assert users["http"] == ["websocket"]
    assert users["websocket"] == users["process"] == []
    table = (ROOT / "probe" / "checks.py").read_text()
    assert "HTTP" not in without(table, "http", "websocket")


def test_a_copy_for_measuring_is_tried_out_by_no_check(tmp_path: Path) -> None:
    """The smoke tests that are left ask for version and help; the rest of the recipe is as it was."""
    copy = copied(tmp_path / "copy")
    ours, theirs = (
        tomllib.loads((root / "recipes" / "probe" / "recipe.toml").read_text())
        for root in (ROOT, copy)
    )
    assert [smoke["args"] for smoke in theirs.pop("smoke")] == [["--version"], ["--help"]]
    assert len(ours.pop("smoke")) > 2
    assert ours == theirs
