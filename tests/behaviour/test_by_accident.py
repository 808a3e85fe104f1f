"""What must never make it healthy by accident, and never be shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probe.checks import CHECKS
from probe.options import COMMON_OPTIONS, REPEATED_KINDS
from tests.behaviour.conftest import Probe
from tests.behaviour.servers import answer, greet, http_reply, serving

SOME = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ALONE = st.sampled_from(
    ["--help", "-help", "--help=false", "--help=true", "--version", "-version", "--version=0"]
)
TARGETS = st.sampled_from(
    [
        ["file", "/"],
        ["http", "http://127.0.0.1:1/"],
        ["tcp", "127.0.0.1:1", "--and", "file", "/"],
        ["file", "/", "--quiet"],
        ["postgres", "-h", "127.0.0.1", "-p", "1"],
    ]
)


@given(ALONE, TARGETS, st.data())
@SOME
def test_help_and_version_beside_a_check_are_bad_usage(
    probe: Probe, alone: str, target: list[str], data: st.DataObject
) -> None:
    words = [*target]
    words.insert(data.draw(st.integers(0, len(words))), alone)
    if words[1:] != ["--help"]:
        assert probe(*words).returncode == 1


@pytest.mark.parametrize("check", ["redis", "postgres", "mysql"])
def test_h_is_the_host(probe: Probe, check: str) -> None:
    said = probe(check, "-h", "127.0.0.1", "-P" if check == "mysql" else "-p", "1").stdout
    assert said.startswith(f"unhealthy: {check} 127.0.0.1:1: refused")
    assert "needs a value" in probe(check, "-h").stdout


@given(st.lists(st.booleans(), min_size=1, max_size=4), st.sampled_from(["json", "text", "not"]))
@SOME
def test_all_of_repeated_conditions_must_hold(
    probe: Probe, tmp_path_factory: pytest.TempPathFactory, holds: list[bool], kind: str
) -> None:
    words = []
    for number, one in enumerate(holds):
        words += {
            "json": ["--json", f"k{number}={'v' if one else 'w'}"],
            "text": ["--contains", f"k{number}" if one else f"x{number}"],
            "not": ["--not-contains", f"x{number}" if one else f"k{number}"],
        }[kind]
    body = json.dumps({f"k{number}": "v" for number in range(4)}).encode()
    with serving(answer(http_reply(body=body))) as server:
        done = probe(f"http://{server.address}/", *words)
    assert done.returncode == (0 if all(holds) else 1)
    if kind == "text":
        file = tmp_path_factory.mktemp("file") / "body"
        file.write_bytes(body)
        assert probe("file", str(file), *words).returncode == done.returncode


@given(
    st.sampled_from(
        [
            (check.name, name)
            for check in CHECKS
            for name, kind, _, _ in check.options + COMMON_OPTIONS
            if kind not in REPEATED_KINDS
        ]
    )
)
@SOME
def test_what_makes_no_sense_twice_is_refused(probe: Probe, case: tuple[str, str]) -> None:
    check, name = case
    values = ["true", "1s", "1", "200", "GET", "1.2.3.4"]
    said = [probe(check, *(f"--{name}={value}",) * 2).stdout for value in values]
    assert any(f"--{name} is given twice" in line for line in said)


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["tcp", "{}"], {"PROBE_PORT": "1"}),
        (["tcp", "{}"], {"PROBE_PORT": "tcp://10.0.0.1:80"}),
        (["tcp", "{}"], {"PROBE_UNIX_SOCKET": "/none", "PROBE_ADDRESS": "127.0.0.1:1"}),
        (["tcp", "--port={port}", "--address=127.0.0.1"], {"PROBE_PORT": "1"}),
        (["tcp", "127.0.0.1"], {"PROBE_PORT": "{port}"}),
        (["http", "http://{}/"], {"PROBE_PORT": "1", "PROBE_CONNECT_TO": "127.0.0.1:1"}),
        (["http", "http://{}/"], {"PROBE_UNIX_SOCKET": "/none"}),
        (["tcp", "{}", "-4"], {"PROBE_IPV6": "true"}),
        (["tcp", "{}", "--and", "tcp", "{}"], {"PROBE_PORT": "1", "PROBE_2_PORT": "1"}),
        (["file", "/", "--and", "tcp"], {"PROBE_2_ADDRESS": "{}", "PROBE_ADDRESS": "127.0.0.1:1"}),
        (["file", "/", "--and", "tcp", "127.0.0.1"], {"PROBE_2_PORT": "{port}"}),
        (["tcp", "{}", "--and", "file", "/"], {"PROBE_PATH": "/none"}),
    ],
)
def test_an_argument_wins(probe: Probe, words: list[str], environment: dict[str, str]) -> None:
    with serving(answer(http_reply())) as server:
        filled = [word.format(server.address, port=server.port) for word in words]
        env = {k: v.format(server.address, port=server.port) for k, v in environment.items()}
        done = probe(*filled, env=env)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "target",
    [["http", "http://127.0.0.1:1/"], ["grpc", "127.0.0.1:1"], ["redis", "127.0.0.1:1"]],
)
@pytest.mark.parametrize("option", ["ca-file", "insecure", "server-name", "cert"])
def test_tls_options_without_effect_are_refused(
    probe: Probe, target: list[str], option: str
) -> None:
    value = "true" if option == "insecure" else "x"
    variable = f"PROBE_{option.upper().replace('-', '_')}"
    for said in (
        probe(*target, f"--{option}={value}").stdout,
        probe(*target, env={variable: value}).stdout,
    ):
        assert said.startswith(f"unhealthy: bad usage: --{option} has no effect without TLS")
    assert "refused" in probe(*target, env={"PROBE_INSECURE": "false"}).stdout


def test_insecure_beside_ca_file_is_refused(probe: Probe) -> None:
    words = ("grpc", "127.0.0.1:1", "--tls", "--insecure")
    assert "exclude each other" in probe(*words, "--ca-file", "/ca.pem").stdout


OPTIONS = sorted({(check.name, row[0]) for check in CHECKS for row in check.options})
FORMS = [[], ["--json-output"], ["--verbose"]]


@given(
    st.sampled_from(OPTIONS),
    st.sampled_from(["{}://user:{}@h/0", "user:{1}@h", "{}://:{}@h:1", "user:{1}@h:80"]),
    st.sampled_from(["redis", "http", "x"]),
    st.text("abcXYZ019!:@ ", min_size=1, max_size=6).map(lambda text: f"qv{text}qv"),
    st.sampled_from(FORMS),
)
@SOME
def test_nothing_between_colon_and_at_is_shown(
    probe: Probe,
    option: tuple[str, str],
    shape: str,
    scheme: str,
    password: str,
    form: list[str],
) -> None:
    check, name = option
    value = shape.format(scheme, password)
    quick = ["--timeout", "300ms", *form]
    for said in (
        probe(check, f"--{name}", value, *quick).stdout,
        probe(check, value, *quick).stdout,
        probe(value, *quick).stdout,
        probe(check, f"--{name}-env", value, *quick).stdout,
        probe(check, f"--{name}-env", "A", *quick, env={"A": value}).stdout,
        probe(check, *quick, env={f"PROBE_{name.upper().replace('-', '_')}": value}).stdout,
        probe(check, f"--{value}", *quick).stdout,
        probe(check, "127.0.0.1:1", f"--json-output={value}").stdout,
    ):
        assert "qv" not in said.replace("q***v", ""), said


def test_a_secret_variable_is_not_shown_where_it_does_not_fit(probe: Probe) -> None:
    env = {"DB_PASSWORD": "qv"}
    assert "qv" not in probe("tcp", "h", "--port-env", "DB_PASSWORD", env=env).stdout
    assert "qv" not in probe("mysql", "-pqvqvqv").stdout


def test_a_pid_file_may_have_more_lines(probe: Probe, tmp_path: Path) -> None:
    file = tmp_path / "postmaster.pid"
    file.write_text("1\n/var/lib/postgresql\n1700000000\n5432\n" + "x" * 99)
    assert "process 1 is running" in probe("process", "--pid-file", str(file)).stdout


def test_days_are_a_timeout(probe: Probe) -> None:
    with serving(greet(first=b"hello")) as server:
        done = probe("tcp", server.address, "--expect", "hello", "--timeout", "30d")
    assert done.returncode == 0


def test_an_empty_ca_file_is_named(probe: Probe, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    with serving(greet(first=b"")) as server:
        done = probe("tcp", server.address, "--tls", "--ca-file", str(empty))
    assert f"--ca-file {empty} is empty" in done.stdout or "has no TLS" in done.stdout


@pytest.mark.parametrize(
    "words", [["--password-env", "DB"], ["--password", "qvqv"], ["-a", "qvqv"]]
)
def test_a_password_is_sent_and_not_shown(probe: Probe, words: list[str]) -> None:
    seen: list[bytes] = []
    replies = (b"+OK\r\n", b"-ERR qvqv\r\n")
    with serving(greet(replies=replies, seen=seen)) as server:
        done = probe("redis", server.address, *words, env={"DB": "qvqv"})
    assert seen[0] == b"*2\r\n$4\r\nAUTH\r\n$4\r\nqvqv\r\n"
    assert (done.returncode, "qvqv" in done.stdout) == (1, False)
    both = probe("redis", *words, "--password-file", "/none", env={"DB": "qvqv"})
    assert "exclude each other" in both.stdout
