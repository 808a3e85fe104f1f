"""Databases as the real ones are written, made up, and a server that has all three."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from audit.databases import Database, over_network
from audit.subject import Subject
from core.retry import ClientOptions, RetryPolicy

CURL = Subject(
    name="curl",
    version="8.21.0",
    products=("curl:h2", "curl:mini"),
    repository="github.com/curl/curl",
    tag="curl-8_21_0",
    debian="curl",
)
BROTLI = Subject(name="brotli", version="1.2.0", products=("curl:h2",), pypi="brotli")
MUSL = Subject(name="musl", version="1.2.6", products=("curl:h2", "curl:mini"), debian="musl")
OURS = Subject(name="probe", version="0.1.0", products=("probe:full",), ours=True)


def semver(*events: dict[str, str], kind: str = "SEMVER", **more: Any) -> dict[str, Any]:
    return {"type": kind, "events": list(events), **more}


def curl_record(
    number: str = "CVE-2026-1111",
    introduced: str = "8.5.0",
    fixed: str = "8.22.0",
    severity: str = "Medium",
) -> dict[str, Any]:
    """One of https://curl.se/docs/vuln.json."""
    return {
        "schema_version": "1.5.0",
        "id": f"CURL-{number}",
        "aliases": [number],
        "summary": f"trouble of {number}",
        "modified": "2026-09-02T10:00:00.00Z",
        "database_specific": {
            "package": "curl",
            "affects": "both",
            "URL": f"https://curl.se/docs/{number}.json",
            "www": f"https://curl.se/docs/{number}.html",
            "severity": severity,
            "last_affected": "8.21.0",
        },
        "published": "2026-09-02T08:00:00.00Z",
        "affected": [
            {
                "ranges": [
                    semver({"introduced": introduced}, {"fixed": fixed}),
                    {
                        "type": "GIT",
                        "repo": "https://github.com/curl/curl.git",
                        "events": [{"introduced": "a" * 40}, {"fixed": "b" * 40}],
                    },
                ],
                "versions": ["8.20.0"],
            }
        ],
        "credits": [{"name": "somebody", "type": "FINDER"}],
        "details": "long\n" * 100,
    }


def pypi_record(name: str = "Brotli", fixed: str = "1.2.1", **more: Any) -> dict[str, Any]:
    """One of OSV's for Python's package index."""
    return {
        "id": "GHSA-aaaa-bbbb-cccc",
        "aliases": ["CVE-2026-2222"],
        "summary": "bombs",
        "modified": "2026-10-23T00:00:00Z",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}],
        "affected": [
            {
                "package": {"name": name, "ecosystem": "PyPI", "purl": f"pkg:pypi/{name.lower()}"},
                "ranges": [semver({"introduced": "0"}, {"fixed": fixed}, kind="ECOSYSTEM")],
                "versions": ["1.1.0", "1.2.0"],
            }
        ],
        **more,
    }


def tracked(status: str = "resolved", fixed: str = "8.22.0-1", urgency: str = "medium") -> Any:
    """What Debian's tracker says of one vulnerability."""
    sid = {"status": status, "repositories": {"sid": "8.23.0-1"}, "urgency": urgency}
    if fixed:
        sid["fixed_version"] = fixed
    return {
        "description": "something is wrong",
        "scope": "remote",
        "releases": {
            "bookworm": {
                "status": "open",
                "repositories": {"bookworm": "7.88.1-10"},
                "urgency": "not yet assigned",
            },
            "sid": sid,
        },
    }


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        self._answer(server.web.files.get(self.path))

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.web.queries.append(query)
        assert (self.path, self.headers["Content-Type"]) == ("/v1/query", "application/json")
        self._answer(server.web.osv(query))

    def _answer(self, value: Any) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(404 if value is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    web: "Web"


@dataclass
class Web:
    """OSV at ``/``, curl's list and Debian's tracker as files."""

    files: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, list[Any]] = field(default_factory=dict)
    """What OSV says, by the name of the package: a list of pages."""
    queries: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    @classmethod
    @contextlib.contextmanager
    def serving(cls) -> Iterator["Web"]:
        self = cls(files={"/tracker": {"curl": {}}, "/curl": []})
        with _Server(("127.0.0.1", 0), _Handler) as server:
            server.web, self.url = self, f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def osv(self, query: dict[str, Any]) -> Any:
        pages = self.answers.get(query["package"]["name"], [[]])
        if pages and isinstance(pages[0], bytes):
            return pages[0]
        number = int(query.get("page_token", "0"))
        more = {"next_page_token": str(number + 1)} if number + 1 < len(pages) else {}
        # With nothing to say it says {}.
        return {**({"vulns": pages[number]} if pages[number] else {}), **more}

    @property
    def databases(self) -> tuple[Database, ...]:
        return over_network(
            options(),
            osv_api=self.url,
            tracker=f"{self.url}/tracker",
            curl=f"{self.url}/curl",
        )


def options() -> ClientOptions:
    def loopback() -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        return session

    return ClientOptions(session=loopback, policy=RetryPolicy(tries=1), sleep=lambda _: None)
