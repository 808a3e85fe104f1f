"""Servers that know one conversation by heart, for protocols whose servers are not worth an installation."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

HOST = "127.0.0.1"
SECONDS = 10.0

Speak = Callable[[socket.socket, list[str]], None]
"""What is done with one connection; what the client said goes into the list."""


@dataclass(frozen=True, kw_only=True)
class ScriptedServer:
    """A server and what it was told."""

    port: int
    heard: list[str] = field(default_factory=list)


@contextmanager
def scripted_server(
    speak: Speak, context: ssl.SSLContext | None = None
) -> Iterator[ScriptedServer]:
    """Serve one connection after another; with ``context`` over TLS."""
    with socket.create_server((HOST, 0)) as listener:
        talker = ScriptedServer(port=listener.getsockname()[1])

        def serve() -> None:
            with contextlib.suppress(OSError):  # the listener is closed, or the client has gone
                while True:
                    connection, _ = listener.accept()
                    connection.settimeout(SECONDS)
                    if context:
                        connection = context.wrap_socket(connection, server_side=True)
                    with connection:
                        speak(connection, talker.heard)
                        if isinstance(connection, ssl.SSLSocket):
                            connection.unwrap()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield talker
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(SECONDS)


def by_lines(greeting: str, answers: Mapping[str, str], last: str = "QUIT") -> Speak:
    """Greet, then answer lines that begin so; ``{tag}`` is the line's first word. Nothing else is answered."""

    def speak(connection: socket.socket, heard: list[str]) -> None:
        connection.sendall(greeting.encode())
        for line in connection.makefile("r", encoding="utf-8", newline="\r\n"):
            request = line.rstrip("\r\n")
            heard.append(request)
            tag = request.partition(" ")[0]
            for begin, answer in answers.items():
                rest = request.removeprefix(f"{tag} ")
                if begin in (request, tag) or (begin and rest.startswith(begin)):
                    connection.sendall(answer.replace("{tag}", tag).encode())
                    break
            if last and last in request.split(" "):
                return

    return speak


def says_at_once(text: str) -> Speak:
    """Hear one line, say one thing, hang up."""

    def speak(connection: socket.socket, heard: list[str]) -> None:
        heard.append(connection.makefile("r", newline="\r\n").readline().rstrip("\r\n"))
        connection.sendall(text.encode())

    return speak


def says_first(text: str) -> Speak:
    """Say one thing, hang up."""

    def speak(connection: socket.socket, heard: list[str]) -> None:
        connection.sendall(text.encode())

    return speak


def ftp(name: str, content: str) -> Speak:
    """One file over passive FTP: https://www.rfc-editor.org/rfc/rfc2428#section-3"""

    def speak(connection: socket.socket, heard: list[str]) -> None:
        answers = {
            "USER": "331 password",
            "PASS": "230 in",
            "PWD": '257 "/"',
            "TYPE": "200 ok",
            "SIZE": f"213 {len(content)}",
            "QUIT": "221 bye",
        }
        connection.sendall(b"220 ok\r\n")
        with socket.create_server((HOST, 0)) as data:
            for line in connection.makefile("r", newline="\r\n"):
                heard.append(line.rstrip("\r\n"))
                verb = heard[-1].partition(" ")[0]
                if verb == "EPSV":
                    answer = f"229 here (|||{data.getsockname()[1]}|)"
                elif heard[-1] == f"RETR {name}":
                    connection.sendall(b"150 now\r\n")
                    with data.accept()[0] as other:
                        other.sendall(content.encode())
                    answer = "226 done"
                else:
                    answer = answers.get(verb, "502 no")
                connection.sendall(f"{answer}\r\n".encode())
                if verb == "QUIT":
                    return

    return speak


def mqtt(topic: str, message: str) -> Speak:
    """One message for whoever subscribes: https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html"""

    def speak(connection: socket.socket, heard: list[str]) -> None:
        with connection.makefile("rb") as stream:
            while head := stream.read(2):
                body = stream.read(head[1])
                if head[0] >> 4 == 1:
                    connection.sendall(b"\x20\x02\x00\x00")
                elif head[0] >> 4 == 8:
                    heard.append(body[4:-1].decode())
                    payload = len(topic).to_bytes(2, "big") + topic.encode() + message.encode()
                    publish = bytes([0x30, len(payload)]) + payload
                    connection.sendall(b"\x90\x03" + body[:2] + b"\x00" + publish + b"\xe0\x00")

    return speak


@contextmanager
def tftp(content: str) -> Iterator[ScriptedServer]:
    """One block for whoever asks: https://www.rfc-editor.org/rfc/rfc1350"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOST, 0))
        server.settimeout(SECONDS)
        talker = ScriptedServer(port=server.getsockname()[1])

        def serve() -> None:
            with contextlib.suppress(TimeoutError):
                asked, client = server.recvfrom(1024)
                talker.heard.append(asked[2:].partition(b"\0")[0].decode())
                server.sendto(b"\x00\x03\x00\x01" + content.encode(), client)
                server.recvfrom(1024)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield talker
        thread.join(SECONDS)
