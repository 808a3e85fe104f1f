"""What a check and its options are, and the options that several checks share."""

from __future__ import annotations

from probe.condition import parse_condition
from probe.errors import Usage
from probe.kinds import Callable, Option, Steps
from probe.scheduler import Trace
from probe.values import (
    decode_text,
    has_controls,
    is_token,
    lowered,
    parse_count,
    parse_escapes,
    parse_seconds,
    parse_size,
    parse_status,
    secrets_in,
    shown_text,
    visible_text,
)

# An option is a row: its name, its kind, the default that the help shows, its help. A "text" is UTF-8; "bytes" are
# whatever the server, the file system or a file take them for; "raw" ones may also hold line breaks and other
# controls. "texts" are raw ones that can be repeated, as "pairs", "condition" and "replies", which are escapes, can;
# "secret" ones are never shown. A name has the same kind in every check. The "share"s of a check are durations:
# --timeout is their sum, unless it is given.
COMMON_OPTIONS = (
    ("timeout", "seconds", "3s", "one deadline for everything: 500ms, 3s, 1m"),
    ("retries", "count", "0", "more attempts, all within --timeout"),
    ("interval", "seconds", "1s", "wait between attempts"),
    ("quiet", "flag", "", "print nothing, only exit 0 or 1 (also -q)"),
    ("verbose", "flag", "", "also print what happened on the way (also -v)"),
    ("json-output", "flag", "", "print one JSON object"),
)
PORT = ("port", "port", "", "replaces the port, as in --port-env APP_PORT")
UNIX_SOCKET = ("unix-socket", "bytes", "", "connect to this Unix socket instead")
IP_OPTIONS = (
    ("ipv4", "flag", "", "IPv4 only (also -4)"),
    ("ipv6", "flag", "", "IPv6 only (also -6)"),
)
URL_OPTION = ("url", "bytes", "", "URL of it, in the place of the target")
ADDRESS = ("address", "text", "", "HOST:PORT or URL; localhost is 127.0.0.1 and ::1")
SERVER_OPTIONS = (
    ADDRESS,
    URL_OPTION,
    PORT,
    UNIX_SOCKET,
) + IP_OPTIONS
TLS_OPTIONS = (
    ("ca-file", "bytes", "", "PEM file to trust instead of the built-in ones"),
    ("insecure", "flag", "", "do not check the certificate"),
    ("server-name", "text", "", "name in the certificate, if not the host's"),
    ("cert", "bytes", "", "PEM file with the certificate to show to the server"),
    ("key", "bytes", "", "PEM file with its key, if that is another file"),
)
SWITCHED_TLS_OPTIONS = (("tls", "flag", "", "use TLS"),) + TLS_OPTIONS
STARTTLS = ("starttls", "flag", "", "ask for TLS, as mail programs do")
CONTAINS = ("contains", "texts", "", "text that must be there, repeatable")
MAX_BODY = ("max-body", "size", "1M", "bytes to read at most")
PATH = ("path", "bytes", "", "path")
DATABASE = ("database", "bytes", "", "database to ask for")
USER = ("user", "bytes", "", "name to log in with")
PASSWORD_OPTIONS = (
    ("password", "secret", "", "better --password-env NAME, of a variable"),
    ("password-file", "bytes", "", "file that holds the password"),
)
SEND = ("send", "escapes", "", r"text to send; \r \n \t \0 \\ \xNN")
EXPECT = ("expect", "replies", "", r"text to wait for, repeatable; \r \n \t \0 \\ \xNN")
HEADER = ("header", "pairs", "", "'NAME: VALUE', repeatable; Host replaces Host")
BASIC_AUTH = ("basic-auth", "secret", "", "USER:PASSWORD")
CONNECT_TO = ("connect-to", "text", "", "HOST:PORT to connect to; URL and Host stay")
USER_AGENT_OPTION = ("user-agent", "bytes", "", "default fromscratch-probe/VERSION")

EXCLUSIVE = (
    ("ipv4", "ipv6"),
    ("quiet", "verbose"),
    ("unix-socket", "connect-to"),
    ("unix-socket", "address"),
    ("url", "address"),
    ("url", "path"),
    ("insecure", "ca-file"),
    ("password", "password-file"),
)
REPEATED_KINDS = ("pairs", "texts", "condition", "replies")

TRUE_WORDS, FALSE_WORDS = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
SECRET_NAMES = (
    "auth",
    "cookie",
    "token",
    "secret",
    "key",
    "password",
    "session",
    "signature",
    "credential",
)
HIGHEST_COUNT = 1000
LARGEST_BODY = 2 << 20  # a body is held in memory, for a moment less than twice


class Check:
    """A kind of check. All of it stands in its module; a row of probe/checks.py makes it known.

    The first of its options is its target, which needs no name. `prepare` checks the options (raising Usage) and
    returns what messages call the target, and the check itself, which returns what it saw or raises Unhealthy.
    `schemes` are those of the URLs that can be its target: scheme, the switch that it turns on or nothing, and what its
    path stands for: an option, a word that is none (nothing looks at it), or nothing (there must be no path).
    `aliases` are pairs of another name for an option, as other tools have it, and the option; `exclusive` are pairs of
    options of which one says all.
    """

    def __init__(
        self,
        name: str,
        purpose: str,
        options: tuple[Option, ...],
        prepare: Callable[[Options], tuple[str, Callable[[Trace], Steps[str]]]],
        aliases: tuple[tuple[str, str], ...] = (),
        exclusive: tuple[tuple[str, str], ...] = (),
        schemes: tuple[tuple[str, str, str], ...] = (),
    ) -> None:
        self.name = name
        self.purpose = purpose
        self.options = options
        self.prepare = prepare
        self.aliases = aliases
        self.exclusive = exclusive
        self.schemes = schemes


def _prepare_nothing(_: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    msg = "no check is named"
    raise Usage(msg)


NO_CHECK = Check("", "", (), _prepare_nothing)


class Options:
    """One check of a command line, and its options. The values have been checked when they are read from here."""

    def __init__(self, secrets: list[str]) -> None:
        self.check = NO_CHECK
        self.values: dict[str, list[bytes]] = {}
        self.secrets = secrets  # what must never be shown, wherever it turns up later

    def known(self) -> tuple[Option, ...]:
        """Return the options that may be given here."""
        return self.check.options + COMMON_OPTIONS

    def store(self, name: str, kind: str, value: bytes, source: str, variable: str) -> None:
        """Check a value and keep it; raises Usage. `source` names it in messages, `variable` is where it is from."""
        secret = kind == "secret" or is_secret_name(variable)
        self.secrets += secrets_in(value)
        if secret:
            self.secrets += [visible_text(value), visible_text(value.partition(b":")[2])]
        elif kind == "pairs" and is_secret_name(visible_text(value.partition(b":")[0])):
            word = value.partition(b":")[2].strip()
            self.secrets += [visible_text(word), visible_text(word.rpartition(b" ")[2])]
            for piece in word.split(b";"):  # of a cookie, the server may tell one alone
                self.secrets.append(visible_text(piece.partition(b"=")[2].strip()))
        try:
            check_value(kind, value)
        except Usage as error:
            msg = f"{source}: {'the value is not valid' if secret and value else error}"
            raise Usage(msg) from None
        off = kind == "flag" and lowered(value.decode()) in FALSE_WORDS
        self.values[name] = self.values.get(name, []) + ([] if off else [value])

    def every(self, name: str) -> list[bytes]:
        """Return all values of an option that can be repeated."""
        return self.values.get(name, [])

    def data(self, name: str) -> bytes:
        """Return the bytes of an option, or its default."""
        found = self.values.get(name)
        if found:
            return found[-1]
        row = find_option(name, self.known())
        return row[2].encode() if row else b""

    def text(self, name: str) -> str:
        """Return the text of an option that is UTF-8, or its default."""
        return self.data(name).decode()

    def has(self, name: str) -> bool:
        """Tell whether the option was given; a switch that is off was not."""
        return bool(self.values.get(name))

    def flag(self, name: str) -> bool:
        """Tell whether a switch is on."""
        return lowered(self.text(name)) in TRUE_WORDS

    def count(self, name: str) -> int:
        """Return a number; 0 when not given and without a default."""
        return int(self.text(name) or "0")

    def seconds(self, name: str) -> float:
        """Return a duration."""
        return parse_seconds(self.text(name))

    def shares(self) -> float:
        """Return how long the check takes at most if --timeout is not given; a share that is not given takes 1 s."""
        names = [name for name, kind, _, _ in self.check.options if kind == "share"]
        if not any(self.has(name) for name in names):
            return self.seconds("timeout")
        return sum([parse_seconds(self.text(name) or "1s") for name in names])

    def family(self) -> int:
        """Return 4 or 6 when only such addresses may be used, else 0."""
        return 4 if self.flag("ipv4") else 6 if self.flag("ipv6") else 0

    def pairs(self, name: str) -> list[tuple[str, bytes]]:
        """Return the 'NAME: VALUE' pairs of an option; values may hold colons."""
        found = []
        for pair in self.values.get(name, []):
            key, _, value = pair.partition(b":")
            found.append((key.strip().decode(), value.strip()))
        return found


def find_option(name: str, options: tuple[Option, ...]) -> Option | None:
    """Return the row of an option."""
    for row in options:
        if row[0] == name:
            return row
    return None


def closed_by(options: Options) -> list[str]:
    """Return the options that those which are given exclude."""
    closed = []
    for first, second in EXCLUSIVE + options.check.exclusive:
        closed += [second] if options.has(first) else []
        closed += [first] if options.has(second) else []
    return closed


def check_value(kind: str, value: bytes) -> None:
    """Refuse what the option does not take, and line breaks and other controls (injection)."""
    if kind not in {"raw", "texts", "escapes", "replies"} and has_controls(value):
        msg = "line breaks and other control characters are not allowed here"
        raise Usage(msg)
    if not value:
        msg = "the value is empty"
        raise Usage(msg)
    if kind == "token" and not is_token(value):
        msg = "this is not a method (a word such as GET or HEAD)"
        raise Usage(msg)
    if kind == "pairs" and (b":" not in value or not is_token(value.partition(b":")[0].strip())):
        msg = "write NAME: VALUE"
        raise Usage(msg)
    if kind in {"escapes", "replies"}:
        parse_escapes(value)
    elif kind == "condition":
        decode_text(value)
        parse_condition(value)
    elif kind not in {"raw", "texts", "bytes", "secret", "pairs"}:
        _check_word(kind, decode_text(value))


def _check_word(kind: str, text: str) -> None:
    if kind == "flag" and lowered(text) not in TRUE_WORDS + FALSE_WORDS:
        msg = f"{shown_text(text)} is neither true nor false"
        raise Usage(msg)
    if kind == "seconds":
        parse_seconds(text)
    elif kind == "share":
        if not parse_seconds(text):
            msg = "it must be more than 0"
            raise Usage(msg)
    elif kind == "count":
        parse_count(text, 0, HIGHEST_COUNT)
    elif kind == "port":
        parse_count(text, 1, 65535)
    elif kind == "size":
        parse_size(text, LARGEST_BODY)
    elif kind == "status":
        parse_status(text)


def is_secret_name(name: str) -> bool:
    """Tell whether a header or query parameter of this name likely holds a credential."""
    word = lowered(name)
    return any(secret in word for secret in SECRET_NAMES) or word in {"sig", "pass", "pwd"}
