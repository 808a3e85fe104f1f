"""Exit codes, the one line, options from everywhere, and what must never be shown."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import answer, drip, free_port, http_reply, read_request, serving
from tests.interpreters import ROOT


def test_healthy_is_0_and_one_line(probe: Probe) -> None:
    with serving(answer(http_reply())) as server:
        done = probe("http", f"http://{server.address}/health")
    assert done.returncode == 0
    assert done.stdout.startswith(f"healthy: http http://{server.address}/health: 200 in ")
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--nonsense",),
        ("htp", "http://localhost/"),
        ("http",),
        ("http", "localhost:80"),
        ("http", "ftp://localhost/"),
        ("http", "http://localhost/", "--status", "2xxx"),
        ("http", "http://localhost/", "--timeout", "soon"),
        ("http", "http://localhost/", "--timeout", "0"),
        ("http", "http://localhost/", "--contains", ""),
        ("http", "http://localhost/", "--contains"),
        ("http", "http://localhost/", "--header", "a: b\r\nc: d"),
        ("http", "http://localhost/", "--header", "no colon"),
        ("http", "http://localhost/", "--header", "Content-Length: 1"),
        ("http", "http://localhost/", "--method", "GET / HTTP/1.1\r\nX: y"),
        ("http", "http://localhost/\r\nX: y"),
        ("http", "http://localhost/a b"),
        ("http", "http://localhost/", "--user-agent", "a\nb"),
        ("http", "http://localhost/", "--expect", "x"),
        ("http", "http://localhost/", "extra"),
        ("http", "http://localhost/", "-4", "-6"),
        ("http", "http://bücher.example/"),
        ("tcp", "localhost"),
        ("tcp", "localhost:99999"),
        ("tcp", "::1:80"),
        ("tcp", "localhost:1", "--and"),
        ("tcp", "localhost:1", "--send", "\\q"),
        ("process",),
        ("file",),
        ("unix", "/" + "x" * 200),
        ("http", "--url-env", "NOT_SET"),
    ],
)
def test_bad_usage_is_1_and_says_so(probe: Probe, argv: tuple[str, ...]) -> None:
    done = probe(*argv)
    assert done.returncode == 1
    assert done.stdout.startswith("unhealthy: bad usage: ")
    assert done.stdout.count("\n") == 1


def test_unknown_option_gets_a_guess(probe: Probe) -> None:
    assert "perhaps --status" in probe("http", "http://localhost/", "--stauts", "200").stdout


@pytest.mark.parametrize(
    "argv", [("--help",), ("-h",), ("http", "--help"), ("help", "grpc"), ("--version",)]
)
def test_help_and_version_are_0(probe: Probe, argv: tuple[str, ...]) -> None:
    done = probe(*argv)
    assert done.returncode == 0
    assert "probe" in done.stdout


def test_help_teaches(probe: Probe) -> None:
    assert "HEALTHCHECK" in probe("--help").stdout
    assert "--not-contains" in probe("http", "--help").stdout


def test_options_from_the_environment(probe: Probe) -> None:
    with serving(answer(http_reply("418 Teapot"))) as server:
        url = f"http://{server.address}/"
        assert probe(env={"PROBE_URL": url, "PROBE_STATUS": "418"}).returncode == 0
        assert probe("http", env={"PROBE_URL": url}).returncode == 1
        assert probe(env={"PROBE_CHECK": "tcp", "PROBE_ADDRESS": server.address}).returncode == 0
        named = probe(
            "http", "--url-env", "APP_URL", "--status-env=OK", env={"APP_URL": url, "OK": "418"}
        )
        assert named.returncode == 0
        # What the command line says wins.
        assert probe(url, "--status", "200", env={"PROBE_STATUS": "418"}).returncode == 1
        assert probe(url, env={"PROBE_STATUS": "teapot"}).stdout.startswith(
            "unhealthy: bad usage: PROBE_STATUS: "
        )


def test_port_from_the_environment(probe: Probe) -> None:
    with serving(answer(http_reply())) as server:
        env = {"APP_PORT": str(server.port)}
        assert probe("http", "http://127.0.0.1/", "--port-env", "APP_PORT", env=env).returncode == 0


def test_flags_of_the_go_tool(probe: Probe) -> None:
    seen: list[bytes] = []
    with serving(answer(http_reply("201 Created"), seen)) as server:
        url = f"http://{server.address}/x"
        long = probe(
            "-url", url, "-code", "201", "-headers", "X-Time: 1:2:3", "-headers=Y:z", "-verb", "PUT"
        )
        short = probe("-U", url, "-C", "201", "-H", "X-Time: 1:2:3", "-H", "Y: z", "-V", "PUT")
    assert (long.returncode, short.returncode) == (0, 0)
    for request in seen:
        assert request.startswith(b"PUT /x HTTP/1.1\r\n")
        assert b"\r\nX-Time: 1:2:3\r\nY: z\r\n" in request


def test_and_runs_side_by_side_and_all_must_pass(probe: Probe, tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def answer_both(connection: socket.socket) -> None:
        read_request(connection)
        both.wait(10)  # neither is answered before the other has asked
        connection.sendall(http_reply())

    with (
        serving(answer_both) as first,
        serving(answer_both) as second,
        serving(answer(http_reply("500 No"))) as bad,
    ):
        good = [f"http://{first.address}/", "--timeout", "10s"]
        good += ["--and", "http", f"http://{second.address}/"]
        assert probe(*good).returncode == 0
        done = probe(
            *good, "--and", "http", f"http://{bad.address}/", "--and", "file", str(tmp_path)
        )
    assert done.returncode == 1
    assert done.stdout.startswith(f"unhealthy: 3 of 4 passed: http http://{bad.address}/: 500")


def test_timeout_is_one_deadline_for_everything(probe: Probe) -> None:
    words = ("--timeout", "400ms", "--retries", "99", "--interval", "1ms")
    with serving(drip(b"x" * 999, 9)) as silent:
        done = probe("tcp", silent.address, "--expect", "hello", *words, cpu=1.5)
    assert done.returncode == 1
    assert "timeout while waiting for the expected text" in done.stdout


def test_a_year_is_no_timeout_too_long(probe: Probe) -> None:
    def speak_up(connection: socket.socket) -> None:
        threading.Event().wait(0.1)
        connection.sendall(b"hello")

    with serving(speak_up) as server:
        for year in ("366d", "8784h"):
            words = ("--expect", "hello", "--timeout", year)
            assert probe("tcp", server.address, *words).returncode == 0


def test_retries_until_it_is_healthy(probe: Probe, tmp_path: Path) -> None:
    replies = [http_reply("503 Not yet"), http_reply("503 Not yet"), http_reply()]

    def reply_in_turn(connection: socket.socket) -> None:
        answer(replies.pop(0))(connection)

    with serving(reply_in_turn) as server:
        done = probe("http", f"http://{server.address}/", "--retries", "5", "--interval", "10ms")
    assert done.returncode == 0
    assert "(attempt 3)" in done.stdout
    # No time for another attempt: the reason is told, not "timeout".
    done = probe(
        "file", str(tmp_path / "none"), "--retries", "5", "--interval", "2s", "--timeout", "1s"
    )
    assert "no such file" in done.stdout


def test_credentials_are_never_shown(probe: Probe) -> None:
    echo = http_reply(body=b"{}", header="X-Echo: s3cret-w0rd\r\nSet-Cookie: id=s3cret-w0rd\r\n")
    with serving(answer(echo)) as server:
        runs = [
            probe(f"http://user:s3cret-w0rd@{server.address}/?token=s3cret-w0rd", "-v"),
            probe(
                f"http://{server.address}/",
                "--basic-auth",
                "user:s3cret-w0rd",
                "-v",
                "--json",
                "a=1",
            ),
            probe(
                f"http://{server.address}/", "--header", "Authorization: Bearer s3cret-w0rd", "-v"
            ),
            probe(
                f"http://{server.address}/", "-v", env={"PROBE_HEADER": "X-Api-Key: s3cret-w0rd"}
            ),
            probe(
                f"http://{server.address}/",
                "--basic-auth-env",
                "A",
                "-v",
                env={"A": "u:s3cret-w0rd"},
            ),
            probe(f"http://user:s3cret-w0rd@{server.address} /"),
            probe(
                f"http://{server.address}/", "--header", "Authorization:", "Bearer", "s3cret-w0rd"
            ),
            probe("--pasword=s3cret-w0rd"),
        ]
    for done in runs:
        assert "s3cret" not in done.stdout
    assert runs[0].returncode == 0


def test_quiet_says_nothing(probe: Probe) -> None:
    assert probe("tcp", f"127.0.0.1:{free_port()}", "--quiet").stdout == ""
    assert probe("tcp", f"127.0.0.1:{free_port()}", "--quiet").returncode == 1


def test_json_output(probe: Probe) -> None:
    with serving(answer(http_reply())) as server:
        done = probe(f"http://{server.address}/", "--json-output", "--and", "file", "/none\u2028é")
    report = json.loads(done.stdout)
    assert (report["version"], report["healthy"]) == (1, False)
    assert [check["healthy"] for check in report["checks"]] == [True, False]
    assert report["checks"][0]["seen"] == "200"
    error = json.loads(probe("nonsense", "--json-output").stdout)
    assert error["healthy"] is False
    assert "nonsense" in error["error"]


def test_controls_are_escaped(probe: Probe) -> None:
    with serving(answer(b"\x1b[31mHTTP\x00\n")) as server:
        done = probe(f"http://{server.address}/", "-v")
    assert done.stdout.isprintable() or "\x1b" not in done.stdout
    assert probe("file", "/no\x1b[2J\nhealthy").stdout.startswith("unhealthy: ")


def test_output_stays_below_what_docker_keeps(probe: Probe) -> None:
    header = "".join(f"X-{number}: {'é' * 300}\r\n" for number in range(50))
    with serving(answer(http_reply("500 No", header=header))) as server:
        url = f"http://{server.address}/{'a' * 3000}"
        done = probe(url, "--verbose")
        assert ": 500, not in 200-399" in done.stdout[:500]
        many = [word for _ in range(15) for word in ("--and", "http", url)]
        report = json.loads(probe(url, "--json-output", *many).stdout)
    assert len(report["checks"]) == 16


def test_closed_output_does_not_change_the_verdict(command: list[str]) -> None:
    command = [*command, "file", "/"]
    closed = subprocess.run(["/bin/sh", "-c", '"$@" >&-', "sh", *command], cwd=ROOT, check=False)
    assert closed.returncode == 0
    reader, writer = os.pipe()
    os.close(reader)
    broken = subprocess.run(command, stdout=writer, cwd=ROOT, check=False)
    os.close(writer)
    assert broken.returncode == 0
