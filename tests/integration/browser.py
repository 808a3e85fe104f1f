"""A browser without a window, spoken to as its own developer tools do: https://chromedevtools.github.io/devtools-protocol/.

Over a pair of pipes, so there is no port, and it ends with the test.
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.real_server import program

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""What it is called, by Debian first."""

SECONDS = 120.0
"""The longest answer that is waited for: a machine with much to do starts a browser slowly."""


@dataclass(kw_only=True)
class Browser:
    """One page of Chromium, and all that was complained of in it."""

    reader: int
    writer: int
    session: str = ""
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """URLs that the page asked for."""
    buffer: bytes = b""
    number: int = 0
    seen: list[str] = field(default_factory=list)
    """The names of events."""

    @classmethod
    @contextmanager
    def start(cls) -> "Iterator[Browser]":
        """Start it; the test is skipped where there is none."""
        found = filter(None, map(shutil.which, NAMES))
        chromium = next(found, None) or program("chromium")
        to_read, to_write = os.pipe(), os.pipe()
        ours = (to_write[1], to_read[0])
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (to_write[0], to_read[1])]
        for end in (to_write[0], to_read[1]):
            os.close(end)
        home = tempfile.mkdtemp(prefix="fs-browser-")
        flags = f"--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir={home}"
        flags += (
            " --no-first-run --disable-background-networking --remote-debugging-pipe about:blank"
        )
        line = f"exec {chromium} {flags} 3<&{theirs[0]} 4>&{theirs[1]}"
        with subprocess.Popen(
            ["bash", "-c", line],
            pass_fds=theirs,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HOME": home},
        ) as process:
            for end in theirs:
                os.close(end)
            try:
                browser = cls(reader=ours[1], writer=ours[0])
                browser._attach()
                yield browser
                browser.call("Browser.close", whole=True)
                process.wait(SECONDS)
            finally:
                process.kill()
                for end in ours:
                    os.close(end)
                process.wait()
                shutil.rmtree(home, ignore_errors=True)

    def open(self, page: Path, *, width: int = 1200, dark: bool = False) -> None:
        """Show a page, and forget what was complained of before."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        size: dict[str, Any] = {
            "width": width,
            "height": 900,
            "deviceScaleFactor": 1,
            "mobile": False,
        }
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.complaints.clear()
        self.requests.clear()
        self.seen.clear()
        self.call("Page.navigate", url=page.as_uri())
        until = time.monotonic() + SECONDS
        while "Page.loadEventFired" not in self.seen:
            self._event(self._message(until))

    def run(self, script: str) -> Any:
        """Return what a piece of JavaScript comes to; it runs beside the page, whatever its policy is."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def call(self, method: str, *, whole: bool = False, **words: Any) -> Any:
        """Ask, and return the answer; with ``whole`` the browser and not its page."""
        self.number += 1
        asked = self.number
        message: dict[str, Any] = {"id": asked, "method": method, "params": words}
        if self.session and not whole:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.writer, data) :]
        until = time.monotonic() + SECONDS
        while True:
            answer = self._message(until)
            if answer.get("id") == asked:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._event(answer)

    def _attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _message(self, until: float) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            left = until - time.monotonic()
            ready, _, _ = select.select([self.reader], [], [], max(left, 0))
            assert ready, "the browser does not answer"
            piece = os.read(self.reader, 1 << 20)
            assert piece, "the browser has ended"
            self.buffer += piece
        text, _, self.buffer = self.buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def _event(self, message: dict[str, Any]) -> None:
        name, words = message.get("method", ""), message.get("params", {})
        self.seen.append(name)
        match name:
            case "Log.entryAdded" if words["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(words["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(words["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if words["type"] in {"error", "warning", "assert"}:
                self.complaints.append(str(words["args"]))
            case "Network.requestWillBeSent":
                self.requests.append(words["request"]["url"])
            case _:
                pass
