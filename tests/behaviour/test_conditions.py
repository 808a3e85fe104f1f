"""--expect-header, and the operators of --json."""

from __future__ import annotations

import json

import pytest

from tests.behaviour.conftest import Probe
from tests.behaviour.servers import answer, http_reply, serving

HEADER = "Content-Type: text/html; charset=utf-8\r\nX-State: ready\r\nX-State: warm\r\nSet-Cookie: a=qv\r\n"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (["X-State: ready"], ""),
        (["x-state:warm"], ""),
        (["X-State: ready", "X-State: warm", "content-length: 0"], ""),
        (["Content-Type: text/html*"], ""),
        (["X-State: *"], ""),
        (["X-State: read"], "200, but header X-State is 'ready' and 'warm', not 'read'"),
        (["X-State: READY"], "not 'READY'"),
        (["X-State:"], "not ''"),
        (["X-State: ready", "X-Other: *"], "200, but there is no header X-Other"),
        (["Content-Type: text/html"], "not 'text/html'"),
        (["Set-Cookie: b"], "200, but header Set-Cookie is not what it should be"),
        (["Bad Name: x"], "write NAME: VALUE"),
        (["X-State"], "write NAME: VALUE"),
    ],
)
def test_expect_header(probe: Probe, wanted: list[str], says: str) -> None:
    words = [word for one in wanted for word in ("--expect-header", one)]
    with serving(answer(http_reply(header=HEADER))) as server:
        url = f"http://{server.address}/"
        done = probe(url, *words)
        lines = probe(url, env={"PROBE_EXPECT_HEADER": "\n".join(wanted)})
    assert (done.returncode, lines.returncode) == ((1, 1) if says else (0, 0))
    assert says in done.stdout
    assert "qv" not in done.stdout
    if not says:
        assert "200, header as expected" in done.stdout


def test_a_status_and_a_body_beside_a_header(probe: Probe) -> None:
    with serving(answer(http_reply("503 x", b"ok", "A: b\r\n"))) as server:
        words = (f"http://{server.address}/", "--expect-header", "A: b", "--contains", "ok")
        assert "503, not in 200-399" in probe(*words).stdout
        assert "503, header and contains as expected" in probe(*words, "--status=503").stdout


BODY = json.dumps(
    {
        "status": "ok",
        "count": 9007199254740993,
        "nodes": [{"up": True, "role": "leader"}, {"up": True, "role": "x,y"}],
        "checks": {"db": {"status": "UP"}, "disk": {"status": "DOWN"}},
        "a.b": None,
    }
).encode()


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("status=ok", True),
        ("status in ok,degraded", True),
        ("status in no,degraded", False),
        ("status!=ok", False),
        ("status != down", True),
        ("count>9007199254740992", True),
        ("count<=9007199254740992", False),
        ("count!=9007199254740992", True),
        ("count = 9007199254740993.0", True),
        ("count<1e400", True),
        ("all nodes.*.up=true", True),
        ("any nodes.*.role=leader", True),
        (r"any nodes.*.role in q,x\,y", True),
        ("any nodes.*.role=follower", False),
        ("all checks.*.status=UP", False),
        ("any checks.*.status=UP", True),
        ("length nodes >= 2", True),
        ("length nodes>2", False),
        ("length checks=2", True),
        (r"a\.b exists", True),
        ("b exists", False),
        ("b!=1", False),
    ],
)
def test_json(probe: Probe, condition: str, holds: bool) -> None:
    with serving(answer(http_reply(body=BODY))) as server:
        done = probe(f"http://{server.address}/", "--json", condition)
        both = probe(f"http://{server.address}/", "--json", "status=ok", "--json", condition)
    assert done.returncode == both.returncode == (0 if holds else 1)
    assert holds or "200, but json " in done.stdout


@pytest.mark.parametrize("condition", ["status", "count>x", "nodes.*.up=true", "all nodes=1"])
def test_a_wrong_condition_is_bad_usage(probe: Probe, condition: str) -> None:
    assert "bad usage: --json: " in probe("http://127.0.0.1:1/", "--json", condition).stdout
