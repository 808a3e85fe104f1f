"""A build that has come to its longest step, to be disturbed there."""

import subprocess
import threading
from typing import Self

from tests.integration.command import Done, Inv
from tests.integration.traces import wait_for

STEP = "start   curl:mini"


class Running:
    """`inv build curl:mini` in the background."""

    def __init__(self, inv: Inv, *args: str) -> None:
        self.process: subprocess.Popen[str] = inv.start("build", "curl:mini", *args)
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def come_to(self, line: str = STEP) -> None:
        """Wait until the build says so."""
        wait_for(lambda: any(line in printed for printed in self.lines), seconds=60, what=line)

    def end(self, *, seconds: float) -> Done:
        """Wait for the end of it."""
        self.process.wait(timeout=seconds)
        self.reader.join(timeout=10)
        assert self.process.stdout is not None
        stdout = self.process.stdout.read()
        stderr = "".join(self.lines)
        assert "Traceback" not in stderr, stderr
        return Done(code=self.process.returncode, stdout=stdout, stderr=stderr)

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))
