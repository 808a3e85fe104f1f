"""Where the suite runs: curl's source, servers that the machine's compiler made of it, and a directory for each run."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.sources.cache import Cache
from builders.sources.unpack import unpack
from core.errors import MissingToolError, ProgramError
from core.process import run_program
from core.remove import remove_tree
from tests.campaigns.campaign import NotRun, Violation
from tests.campaigns.suite.left_out import LeftOut
from tests.campaigns.suite.output import SuiteRun, Unreadable, read_output

PACKAGES = {
    "cmake": "cmake",
    "curl": "curl",
    "gcc": "gcc",
    "make": "make",
    "nghttpx": "nghttp2-proxy",
    "openssl": "openssl",
    "perl": "perl",
    "stunnel": "stunnel4",
}
"""Programs that the suite needs, and the packages that have them."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SWITCHES = (
    "-DBUILD_TESTING=ON",
    "-DBUILD_LIBCURL_DOCS=OFF",
    "-DBUILD_MISC_DOCS=OFF",
    "-DENABLE_CURL_MANUAL=OFF",
    "-DCURL_ENABLE_SSL=OFF",
    "-DCURL_USE_LIBPSL=OFF",
    "-DCURL_USE_LIBSSH2=OFF",
    "-DCURL_ZLIB=OFF",
    "-DCURL_BROTLI=OFF",
    "-DCURL_ZSTD=OFF",
    "-DUSE_NGHTTP2=OFF",
    "-DUSE_LIBIDN2=OFF",
    "-DCURL_DISABLE_LDAP=ON",
)
"""No library is needed for servers that speak without TLS: stunnel is before them."""

FRESH = 100 * 86400.0
"""Seconds: the suite's certificates are made for 300 days."""
LONGEST = 900.0
"""Seconds that a run of one case may take."""
RUNNERS = 4
"""Tests at a time in a run: most of them wait for something."""
PATIENCE = 15.0
"""Seconds that an interrupted run has to end its servers, before all is killed."""


def find_tools(path: str = PATH) -> None:
    """Raise NotRun for the programs that are missing, with the command that brings them."""
    missing = [name for name in PACKAGES if shutil.which(name, path=path) is None]
    if missing:
        packages = " ".join(PACKAGES[name] for name in missing)
        msg = f"{', '.join(missing)} not found: apt-get install -y {packages}"
        raise NotRun(msg)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The suite, ready to be run: curl's source, and what was made of it."""

    source: Path
    made: Path

    @classmethod
    def ready(cls, cache: Cache, sha256: str) -> "Place":
        """Unpack the source and make the servers, or find them as an earlier run left them in the cache.

        Raises NotRun when the source is not in the cache, or the machine cannot make them.
        """
        archive = cache.blob(sha256)
        if archive is None:
            msg = "curl's source is not in the cache: ./inv fetch curl:http"
            raise NotRun(msg)
        directory = cache.root / "campaigns"
        home = directory / f"curl-{sha256[:16]}"
        place = cls(source=home / "source", made=home / "made")
        with cache.lock(f"campaign-curl-{sha256[:16]}"):
            whole = home / "whole"  # made last
            if whole.exists() and time.time() - whole.stat().st_mtime < FRESH:
                return place
            directory.mkdir(parents=True, exist_ok=True)
            if home.exists():
                remove_tree(home)
            home.mkdir()
            unpack(archive, home / "unpacked").rename(place.source)
            make(place)
            whole.touch()
        return place

    def curlinfo(self, defined: Iterable[str], program: Path) -> Path:
        """Make the program that tells the suite what a curl with these switches has been built without."""
        include = [
            self.source / "include",
            self.source / "lib",
            self.source / "src",
            self.made / "lib",
        ]
        _make(
            ["gcc", "-DHAVE_CONFIG_H", *(f"-D{name}=1" for name in defined)]
            + [f"-I{directory}" for directory in include]
            + [str(self.source / "src" / "curlinfo.c"), "-o", str(program)]
        )
        return program

    def run(
        self,
        curl: Path,
        tests: Sequence[int],
        directory: Path,
        *,
        curlinfo: Path,
        left_out: LeftOut,
        runners: int = RUNNERS,
    ) -> SuiteRun:
        """Run these tests on a curl, in an empty directory. Raises Violation when the suite does not get to its end."""
        work = directory / "tests"
        work.mkdir()
        for name in ("server", "certs", "config", "configurehelp.pm"):
            (work / name).symlink_to(self.made / "tests" / name)
        (directory / "lib").symlink_to(self.made / "lib")
        rules, hook = directory / "rules", directory / "hook.pl"
        rules.write_text("".join(f"{rule}\n" for rule in left_out.rules()), "utf-8")
        hook.write_text(left_out.hook(), "utf-8")
        scripts = self.source / "tests"
        words = ["perl", f"-I{scripts}", f"{scripts}/runtests.pl", "-a", "-n", "-p"]
        words += [f"-j{runners}"] if runners > 1 else []
        words += ["-c", str(curl), "-vc", str(shutil.which("curl", path=PATH))]
        words += ["-o", f"CURLINFO={curlinfo}", "-L", str(hook), "-E", str(rules), *map(str, tests)]
        # Its SSH server lets in whoever has started it, and does not start for root.
        names = (user.pw_name for user in pwd.getpwall() if user.pw_uid == os.getuid())
        user = next(names, "tester")
        environment = {"PATH": PATH, "USER": user, "LANG": "C.UTF-8", "srcdir": str(scripts)}
        with (directory / "output").open("wb") as output:
            ended = watch(words, work, environment, output.fileno())
        text = (directory / "output").read_text("utf-8", "replace")
        if not ended:
            msg = f"tests {_some(tests)} did not end within {LONGEST:.0f} s:\n{text[-2000:]}"
            raise Violation(msg)
        try:
            return read_output(text, asked=len(tests))
        except Unreadable as why:
            msg = f"tests {_some(tests)}: {why}"
            raise Violation(msg) from None


def make(place: Place) -> None:
    """Configure curl's source and make the suite's servers and certificates. Raises NotRun."""
    _make(["cmake", "-S", str(place.source), "-B", str(place.made), *SWITCHES])
    for target in ("servers", "build-certs"):
        _make(["make", "-C", str(place.made), target])


def watch(
    words: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    output: int,
    *,
    seconds: float = LONGEST,
) -> bool:
    """Run a program in a session of its own, of which nothing is left; return whether it ended in time."""
    with subprocess.Popen(
        words,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)  # it ends its servers
                _until(PATIENCE, lambda: process.poll() is not None)
            end_session(process.pid)
            process.wait()
    return True


def end_session(session: int) -> None:
    """Kill all that is left of a session, also what has a process group of its own."""

    def killed() -> bool:
        left = [pid for pid in map(int, _numbers()) if _session_of(pid) == session]
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not left

    _until(PATIENCE, killed)


def _session_of(pid: int) -> int | None:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state[0] == "Z" else int(state[3])


def _numbers() -> list[str]:
    return [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]


def _until(seconds: float, done: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.05)


def _make(words: list[str]) -> None:
    try:
        run_program(
            words, seconds=600, package=PACKAGES[words[0]], purpose="make curl's test servers"
        )
    except (MissingToolError, ProgramError) as why:
        raise NotRun(str(why)) from None


def _some(tests: Sequence[int]) -> str:
    return " ".join(map(str, tests[:8])) + (" …" if len(tests) > 8 else "")
