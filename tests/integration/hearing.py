"""Servers that note every byte they hear, and what a run of curl does: for comparing one run with another."""

import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
SECONDS = 20
RICH = (
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: flavour=oats\r\nETag: "tag"\r\n'
    "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n"
    "Content-Disposition: attachment; filename=named\r\n"
    'Alt-Svc: h2="127.0.0.1:1"\r\nStrict-Transport-Security: max-age=1000\r\n\r\n'
    "12345"
)
CHALLENGE = (
    "HTTP/1.1 401 No\r\nContent-Length: 0\r\n"
    'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\n'
    'WWW-Authenticate: Basic realm="r"\r\n\r\n'
)
ANSWERS: Mapping[str, str] = {
    "/no": "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
    "/unavailable": "HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno",
    "/basic": 'HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: Basic realm="r"\r\n\r\n',
    "/old": "just text\n",
    "/short": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12",
    "/chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "/lines": "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + "x" * 100_000,
}
Speak = Callable[[socket.socket, list[bytes]], None]


def http(connection: socket.socket, heard: list[bytes]) -> None:
    """Answer by the path; a proxy, too, and one hop further it is the server itself."""
    stream = connection.makefile("rb")
    if stream.peek(1)[:1] in {b"\4", b"\5"}:  # SOCKS
        heard.append(stream.peek(1))
        connection.sendall(b"\5\xff")
        return
    while line := stream.readline():
        if line.startswith(b"PROXY "):
            heard.append(b" ".join(line.split()[:4]))  # without the ports
            continue
        heard.append(line)
        size, chunked = 0, False
        said = b""
        while (header := stream.readline()) not in {b"\r\n", b""}:
            heard.append(header)
            said += header.lower()
        if found := re.search(rb"content-length: (\d+)", said):
            size = int(found[1])
        chunked = b"transfer-encoding: chunked" in said
        heard.append(stream.read(size))
        while chunked and (row := stream.readline()) != b"0\r\n":
            heard.append(row)
        if chunked:
            stream.readline()
        method, path, *_ = line.decode().split(" ")
        path = re.sub("^http://[^/]*", "", path).partition("?")[0]
        answer = ANSWERS.get(path, RICH)
        if method == "CONNECT":
            answer = "HTTP/1.1 200 Connected\r\nX-Proxy: yes\r\n\r\n"
            if b"proxy-authorization" not in said and path.startswith("wanted"):
                answer = CHALLENGE.replace("401", "407").replace("WWW-", "Proxy-")
        elif path.startswith("/to/"):
            where = f"http://{HOST}:{connection.getsockname()[1]}/rich"
            answer = f"HTTP/1.1 {path[4:]} Go\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n"
        elif path == "/login" and b"authorization" not in said:
            answer = CHALLENGE
        elif path == "/drip":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            for _ in range(30):
                connection.sendall(b"x")
                threading.Event().wait(0.1)
            return
        elif path == "/silent":
            threading.Event().wait(3)
            return
        elif path == "/slow":
            threading.Event().wait(1.5)
        if method == "HEAD":
            answer = answer.partition("\r\n\r\n")[0] + "\r\n\r\n"
        connection.sendall(answer.encode())
        if path in {"/old", "/short", "/once"}:
            return


def ftp(connection: socket.socket, heard: list[bytes]) -> None:
    """Agree to everything."""
    connection.sendall(b"220 ok\r\n")
    fixed = {"USER": "331 x", "PASS": "230 x", "PWD": '257 "/"', "SIZE": "213 5", "QUIT": "221 x"}
    fixed |= {"AUTH": "500 no", "PORT": "500 no", "EPRT": "500 no", "ACCT": "230 x"}
    with socket.create_server((HOST, 0)) as data:
        port = data.getsockname()[1]
        for line in connection.makefile("rb"):
            verb = line.decode().split()[0]
            heard.append(verb.encode() if verb in {"EPSV", "PASV", "EPRT", "PORT"} else line)
            answer = fixed.get(verb, "200 ok")
            if line == b"USER strict\r\n":
                answer = "530 another"
            if line == b"PASS account\r\n":
                answer = "332 account"
            if verb in {"CWD"} and b"missing" in line and heard.count(line) == 1:
                answer = "550 no"
            if verb == "EPSV":
                answer = f"229 here (|||{port}|)"
            elif verb == "PASV":
                answer = f"227 here (127,0,0,2,{port >> 8},{port & 255})"
            elif verb in {"LIST", "NLST", "RETR", "STOR", "APPE"}:
                connection.sendall(b"150 now\r\n")
                with data.accept()[0] as other:
                    other.settimeout(SECONDS)
                    if verb in {"STOR", "APPE"}:
                        while got := other.recv(65536):
                            heard.append(got)
                    else:
                        other.sendall(b"12345")
                answer = "226 done"
            connection.sendall(f"{answer}\r\n".encode())
            if verb == "QUIT":
                return


def mail(connection: socket.socket, heard: list[bytes]) -> None:
    """SMTP that takes every letter, but none for "nobody"."""
    connection.sendall(b"220 ok\r\n")
    letter, secrets = False, 0
    for line in connection.makefile("rb"):
        heard.append(line)
        answer = "250 ok"
        if secrets:
            secrets -= 1
            answer = "334 UGFzc3dvcmQ6" if secrets else "235 in"
        elif letter:
            letter = line != b".\r\n"
            if letter:
                continue
        elif line.startswith(b"EHLO"):
            answer = "250-x\r\n250-SIZE\r\n250 AUTH LOGIN PLAIN"
        elif line.startswith(b"AUTH PLAIN\r"):
            answer, secrets = "334 ", 1
        elif line.startswith(b"AUTH LOGIN"):
            answer, secrets = "334 VXNlcm5hbWU6", 2
        elif line.startswith(b"AUTH PLAIN"):  # and the secret
            answer = "235 in"
        elif b"nobody" in line:
            answer = "550 no"
        elif line == b"DATA\r\n":
            answer, letter = "354 go", True
        elif line == b"STARTTLS\r\n":
            answer = "500 no"
        connection.sendall(f"{answer}\r\n".encode())
        if line == b"QUIT\r\n":
            return


def imap(connection: socket.socket, heard: list[bytes]) -> None:
    connection.sendall(b"* OK\r\n")
    for line in connection.makefile("rb"):
        heard.append(line)
        tag = line.split()[0].decode()
        connection.sendall(f"{tag} OK done\r\n".encode())
        if b"LOGOUT" in line:
            return


def telnet(connection: socket.socket, heard: list[bytes]) -> None:
    connection.settimeout(1)
    connection.sendall(b"\xff\xfd\x18")  # DO TERMINAL-TYPE
    with suppress(TimeoutError):
        heard.append(connection.recv(100))


@dataclass
class Ears:
    """Servers, and all that they heard."""

    contexts: Mapping[str, ssl.SSLContext]
    """Of the servers with TLS."""
    unix: Path
    heard: list[bytes] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def names(self) -> dict[str, str]:
        """What stands for each of them on a command line."""
        schemes = {"tls": "https", "tls12": "https", "tlsh2": "https"}
        at = {name: f"{HOST}:{port}" for name, port in self.ports.items()}
        names = {name: f"{schemes.get(name, name)}://{place}" for name, place in at.items()}
        tls = self.ports["tls"]
        return names | {
            "open": at["http"],
            "port": str(self.ports["http"]),
            "closed": at["closed"],
            "full": at["full"],
            "fullport": str(self.ports["full"]),
            "tlsname": f"https://localhost:{tls}",
            "unix": str(self.unix),
        }

    def start(self) -> None:
        plain = {"http": http, "ftp": ftp, "smtp": mail, "imap": imap, "telnet": telnet}
        secure = {"tls": http, "tls12": http, "tlsh2": http, "ftps": ftp}
        for name, speak in {**plain, **secure}.items():
            listener = self._open(socket.AF_INET, (HOST, 0))
            self.ports[name] = listener.getsockname()[1]
            self._serve(listener, speak, self.contexts.get(name))
        for place in (str(self.unix), f"\0{self.unix}"):
            self._serve(self._open(socket.AF_UNIX, place), http)
        self.ports["closed"] = self._open(socket.AF_INET, (HOST, 0), backlog=None).getsockname()[1]
        self._fill()
        datagrams = self.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind((HOST, 0))
        self.ports["tftp"] = datagrams.getsockname()[1]

        def listen() -> None:
            with suppress(OSError):
                while data := datagrams.recv(2000):
                    self.heard.append(data)

        self._run(listen, datagrams)

    def _open(
        self,
        family: socket.AddressFamily,
        place: str | tuple[str, int],
        *,
        backlog: int | None = 50,
    ) -> socket.socket:
        sock = self.stack.enter_context(socket.socket(family))
        sock.bind(place)
        if backlog is not None:
            sock.listen(backlog)
        return sock

    def _fill(self) -> None:
        """A port where nobody answers: who waits there already is all that it takes. The same of 127.0.0.2 is open."""
        full = self._open(socket.AF_INET, (HOST, 0), backlog=0)
        self.ports["full"] = full.getsockname()[1]
        self._serve(self._open(socket.AF_INET, ("127.0.0.2", self.ports["full"])), http)
        for _ in range(4):
            waiting = self.stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())

    def _serve(
        self, listener: socket.socket, speak: Speak, context: ssl.SSLContext | None = None
    ) -> None:
        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    threading.Thread(target=talk, args=(connection,), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            # whoever is curious may leave at any point
            with suppress(OSError, ValueError), connection:
                connection.settimeout(SECONDS)
                if context is None:
                    speak(connection, self.heard)
                    return
                with context.wrap_socket(connection, server_side=True) as secure:
                    self.heard.append(f"{secure.version()} {secure.cipher()}".encode())
                    shown = secure.getpeercert(binary_form=True) is not None
                    self.heard.append(f"a certificate: {shown}".encode())
                    self.heard.append(f"protocol: {secure.selected_alpn_protocol()}".encode())
                    self.heard.append(f"resumed: {secure.session_reused}".encode())
                    speak(secure, self.heard)
                    secure.unwrap()

        self._run(serve, listener)

    def _run(self, target: Callable[[], None], sock: socket.socket) -> None:
        threading.Thread(target=target, daemon=True).start()

        def stop() -> None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

        self.stack.callback(stop)


@contextmanager
def ears(contexts: Mapping[str, ssl.SSLContext], unix: Path) -> Iterator[Ears]:
    servers = Ears(contexts=contexts, unix=unix)
    with servers.stack:
        servers.start()
        yield servers


CALLS = "network,openat,open,mkdir,unlink,chmod,fchmod,utimensat,utimes,fsetxattr,write,writev"
TRACE = ("-f", "-qq", "-s", "200", "-e", f"trace={CALLS}", "-e", "signal=none")
BY_CHANCE = re.compile(
    r"^\d+ +|(?<=htons\()\d+(?=\))|(?<=\()\d+(?=,)|(?<== )-?\d+$|0x[0-9a-f]+|\d+ (ms|milliseconds)"
)
"""Processes, ports, descriptors, addresses, times."""
IDLE = ("EAGAIN", "EINPROGRESS", "unfinished", "resumed>", "exited")
SLOW = 3.5
LONG_AGO = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Tracer:
    """Runs a program in an empty directory, and returns all that can be seen of it, as lines."""

    strace: str
    directory: Path
    ears: Ears

    def __call__(
        self, program: Path, words: Sequence[str], files: Mapping[str, bytes]
    ) -> frozenset[str]:
        for path in sorted(self.directory.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()
        for name, data in files.items():
            (self.directory / name).write_bytes(data)
            os.utime(self.directory / name, (LONG_AGO, LONG_AGO))
        self.ears.heard.clear()
        log = self.directory.with_suffix(".trace")
        began = time.monotonic()
        done = subprocess.run(
            [self.strace, *TRACE, "-o", log, program, *words],
            cwd=self.directory,
            env={"HOME": str(self.directory)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        lines = [f"code: {done.returncode}", f"slow: {time.monotonic() - began > SLOW}"]
        calls = log.read_bytes().splitlines()
        lines.append(f"connections: {sum(b' connect(' in line for line in calls)}")
        said = {"out": done.stdout.splitlines(), "err": done.stderr.splitlines()}
        said["heard"] = [*self.ears.heard]
        said["call"] = [line for line in calls if not any(word.encode() in line for word in IDLE)]
        lines += [
            f"{kind}: {BY_CHANCE.sub('*', line.decode('utf-8', 'backslashreplace'))}"
            for kind, found in said.items()
            for line in found
        ]
        for path in sorted(self.directory.rglob("*")):
            if path.is_file() and (path.name not in files or path.read_bytes() != files[path.name]):
                state = path.stat()
                old = state.st_mtime < time.time() - 1_000_000
                inside = path.relative_to(self.directory)
                lines.append(f"file: {inside} {state.st_mode:o} {old} {path.read_bytes()!r}")
        return frozenset(lines)
