"""From argv and the environment to checks with options. Two tables say what exists."""

from __future__ import annotations

from probe.errors import Usage
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
    visible_text,
)

# Every option: its kind, and the default that its help shows. A "text" is UTF-8; "bytes" are whatever the server, the
# file system or a file take them for; "raw" ones may also hold line breaks and other controls.
OPTION_KINDS = {
    "address": ("text", ""),
    "and": ("flag", ""),
    "basic-auth": ("bytes", ""),
    "body": ("raw", ""),
    "ca-file": ("bytes", ""),
    "cert": ("bytes", ""),
    "connect-to": ("text", ""),
    "contains": ("raw", ""),
    "expect": ("escapes", ""),
    "follow": ("count", "0"),
    "header": ("pairs", ""),
    "help": ("flag", ""),
    "insecure": ("flag", ""),
    "interval": ("seconds", "1s"),
    "ipv4": ("flag", ""),
    "ipv6": ("flag", ""),
    "json": ("path", ""),
    "json-output": ("flag", ""),
    "key": ("bytes", ""),
    "max-age": ("seconds", ""),
    "max-body": ("size", "1M"),
    "metadata": ("pairs", ""),
    "method": ("token", "GET"),
    "name": ("bytes", ""),
    "not-contains": ("raw", ""),
    "password-file": ("bytes", ""),
    "path": ("bytes", ""),
    "pid-file": ("bytes", ""),
    "port": ("port", ""),
    "quiet": ("flag", ""),
    "retries": ("count", "0"),
    "send": ("escapes", ""),
    "server-name": ("text", ""),
    "service": ("bytes", ""),
    "status": ("status", "200-399"),
    "timeout": ("seconds", "3s"),
    "tls": ("flag", ""),
    "unix-socket": ("bytes", ""),
    "url": ("bytes", ""),
    "user": ("bytes", ""),
    "user-agent": ("bytes", ""),
    "verbose": ("flag", ""),
    "version": ("flag", ""),
}
COMMON_OPTIONS = ("timeout", "retries", "interval", "quiet", "verbose", "json-output")
SERVER_OPTIONS = ("address", "port", "unix-socket", "ipv4", "ipv6")
TLS_OPTIONS = ("ca-file", "insecure", "server-name", "cert", "key")
SWITCHED_TLS_OPTIONS = ("tls",) + TLS_OPTIONS

# Every check: the options it knows beside the common ones; the first is the one that needs no name.
CHECK_OPTIONS = {
    "http": (
        "url",
        "port",
        "status",
        "method",
        "header",
        "body",
        "contains",
        "not-contains",
        "json",
        "follow",
        "unix-socket",
        "user-agent",
        "basic-auth",
        "connect-to",
        "max-body",
        "ipv4",
        "ipv6",
    )
    + TLS_OPTIONS,
    "tcp": SERVER_OPTIONS + ("send", "expect") + SWITCHED_TLS_OPTIONS,
    "unix": ("path", "send", "expect"),
    "grpc": SERVER_OPTIONS + ("service", "metadata", "user-agent") + SWITCHED_TLS_OPTIONS,
    "redis": SERVER_OPTIONS + ("user", "password-file") + SWITCHED_TLS_OPTIONS,
    "postgres": SERVER_OPTIONS + ("user",) + SWITCHED_TLS_OPTIONS,
    "mysql": SERVER_OPTIONS + ("user",) + SWITCHED_TLS_OPTIONS,
    "memcached": SERVER_OPTIONS + SWITCHED_TLS_OPTIONS,
    "amqp": SERVER_OPTIONS + SWITCHED_TLS_OPTIONS,
    "file": ("path", "max-age", "contains", "max-body"),
    "process": ("name", "pid-file"),
}
# In the order of the help: a dictionary has none on MicroPython.
CHECK_NAMES = (
    "http",
    "tcp",
    "unix",
    "grpc",
    "redis",
    "postgres",
    "mysql",
    "memcached",
    "amqp",
    "file",
    "process",
)

SHORT_NAMES = {"4": "ipv4", "6": "ipv6", "h": "help", "q": "quiet", "v": "verbose"}
# The flags of chrisaxiom/docker-health-check: "-url URL -code 200 -headers k:v -verb GET".
GO_NAMES = {
    "U": "url",
    "H": "header",
    "V": "method",
    "C": "status",
    "headers": "header",
    "verb": "method",
    "code": "status",
}
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
MOST_CHECKS, HIGHEST_COUNT = 16, 1000
LARGEST_BODY = 2 << 20  # a body is held in memory, for a moment thrice: this stays below 16 MB
ENVIRONMENT_PREFIX = b"PROBE_"


class Options:
    """One check and its options. The values have been checked when they are read from here."""

    def __init__(self) -> None:
        self.check = ""
        self.values: dict[str, list[bytes]] = {}
        self.secrets: list[str] = []

    def data(self, name: str) -> bytes:
        """Return the bytes of an option, or its default."""
        found = self.values.get(name)
        return found[-1] if found else OPTION_KINDS[name][1].encode()

    def text(self, name: str) -> str:
        """Return the text of an option that is UTF-8, or its default."""
        return self.data(name).decode()

    def has(self, name: str) -> bool:
        """Tell whether the option was given."""
        return name in self.values

    def flag(self, name: str) -> bool:
        """Tell whether a switch is on."""
        return lowered(self.text(name)) in TRUE_WORDS

    def count(self, name: str) -> int:
        """Return a number; 0 when not given and without a default."""
        return int(self.text(name) or "0")

    def seconds(self, name: str) -> float:
        """Return a duration."""
        return parse_seconds(self.text(name))

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


def parse_command(argv: list[bytes], environ: dict[bytes, bytes]) -> list[Options]:
    """Read a command line (without the program's name) and the environment; raises Usage."""
    if not argv and not _settings(environ):
        msg = "nothing to check (try: probe http http://localhost:8080/health, or probe --help)"
        raise Usage(msg)
    checks: list[Options] = []
    common, place = {}, 0
    while True:
        options, place = _read_segment(argv, place, environ)
        checks.append(options)
        for name in COMMON_OPTIONS:
            if name in options.values:
                common[name] = options.values[name]
        if options.has("help") or options.has("version") or place >= len(argv):
            break
        place += 1  # the --and
        if len(checks) == MOST_CHECKS:
            msg = f"more than {MOST_CHECKS} checks"
            raise Usage(msg)
    for options in checks:
        if options.has("help") or options.has("version"):
            return [options]
    for options in checks:
        options.values.update(common)
        _finish(options, environ)
    return checks


def _read_segment(
    argv: list[bytes], place: int, environ: dict[bytes, bytes]
) -> tuple[Options, int]:
    """Read one check, up to --and or the end."""
    options, only_plain = Options(), False
    plain: list[bytes] = []
    while place < len(argv):
        word = argv[place]
        if only_plain or not word.startswith(b"-") or word == b"-":
            plain.append(word)
        elif word == b"--":
            only_plain = True
        elif word == b"--and":
            break
        else:
            place = _read_option(options, argv, place, environ)
        place += 1
    _take_plain(options, plain)
    return options, place


def _read_option(
    options: Options, argv: list[bytes], place: int, environ: dict[bytes, bytes]
) -> int:
    """Read the option at this place; return the place of its last word."""
    given, equals, value = argv[place].partition(b"=")
    word = visible_text(given)
    name = word.lstrip("-")
    name = GO_NAMES.get(name, name)
    if len(name) == 1 and not word.startswith("--"):
        name = SHORT_NAMES.get(name, name)
    from_environment = name not in OPTION_KINDS and name.endswith("-env")
    name = name[:-4] if from_environment else name
    if name not in OPTION_KINDS or len(word) - len(word.lstrip("-")) > 2 or name == "and":
        msg = f"unknown option {word}{_perhaps(name, OPTION_KINDS, '--')} (probe --help)"
        raise Usage(msg)
    kind = OPTION_KINDS[name][0]
    if kind == "flag" and not from_environment:
        value = value if equals else b"true"
    elif not equals:
        place += 1
        if place >= len(argv) or argv[place] == b"--and":
            msg = f"{word} needs a value"
            raise Usage(msg)
        value = argv[place]
    if from_environment:
        variable, value = value, environ.get(value, b"")
        if not value:
            msg = f"the environment variable {visible_text(variable)}, named by {word}, is not set or empty"
            raise Usage(msg)
    _store(options, name, kind, value, word)
    return place


def _store(options: Options, name: str, kind: str, value: bytes, source: str) -> None:
    """Check a value and keep it."""
    try:
        check_value(kind, value)
    except Usage as error:
        msg = f"{source}: {error}"
        raise Usage(msg) from None
    if kind == "pairs" and name in options.values:
        options.values[name].append(value)
    else:
        options.values[name] = [value]


def check_value(kind: str, value: bytes) -> None:
    """Refuse what the option does not take, and line breaks and other controls (injection)."""
    if kind not in {"raw", "escapes"} and has_controls(value):
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
    if kind == "path" and (b"=" not in value or value.startswith(b"=")):
        msg = "write PATH=VALUE, such as status=ok or db.0.up=true"
        raise Usage(msg)
    if kind == "escapes":
        parse_escapes(value)
    elif kind not in {"raw", "bytes", "pairs"}:
        _check_word(kind, decode_text(value))


def _check_word(kind: str, text: str) -> None:
    if kind == "flag" and lowered(text) not in TRUE_WORDS + FALSE_WORDS:
        msg = f"'{text}' is neither true nor false"
        raise Usage(msg)
    if kind == "seconds":
        parse_seconds(text)
    elif kind == "count":
        parse_count(text, 0, HIGHEST_COUNT)
    elif kind == "port":
        parse_count(text, 1, 65535)
    elif kind == "size":
        parse_size(text, LARGEST_BODY)
    elif kind == "status":
        parse_status(text)


def _take_plain(options: Options, plain: list[bytes]) -> None:
    """Give the words without a dash their meaning: the check's name and its target."""
    words = [visible_text(word) for word in plain]
    if words and words[0] in CHECK_OPTIONS:
        options.check = words.pop(0)
    elif words and "://" in words[0]:
        options.check = "http"
    elif words and words[0] == "help" and not options.values:
        options.values["help"] = [b"true"]
        options.check = words[1] if words[1:] and words[1] in CHECK_OPTIONS else ""
        return
    elif words:
        word = words[0] if len(words[0]) <= 40 and "@" not in words[0] else "this"
        guess = _perhaps(word, CHECK_OPTIONS, "")
        msg = f"'{word}' is not a check{guess} (one of {', '.join(CHECK_NAMES)})"
        raise Usage(msg)
    if not words:
        return
    if len(words) > 1:
        # Not shown: the words may be parts of a secret whose quotes were forgotten.
        extra = len(words) - 1
        msg = (
            f"{extra} words too many (quote values that hold spaces; probe {options.check} --help)"
        )
        raise Usage(msg)
    name = CHECK_OPTIONS[options.check][0]
    if options.has(name):
        msg = f"the {name} is given twice"
        raise Usage(msg)
    _store(options, name, OPTION_KINDS[name][0], plain[-1], name)


def _settings(environ: dict[bytes, bytes]) -> list[tuple[str, str, bytes]]:
    """Return (option, variable, value) of the environment, in the order of the alphabet."""
    settings = []
    for key in sorted([key for key in environ if key.startswith(ENVIRONMENT_PREFIX)]):
        variable = visible_text(key)
        name = lowered(variable[len(ENVIRONMENT_PREFIX) :]).replace("_", "-")
        settings.append((name, variable, environ[key]))
    return settings


def _finish(options: Options, environ: dict[bytes, bytes]) -> None:
    """Find out which check is meant, add the environment, and see that all fits together."""
    settings = [setting for setting in _settings(environ) if setting[2]]
    if not options.check:
        options.check = _implied_check(options, settings)
    known = CHECK_OPTIONS[options.check] + COMMON_OPTIONS
    for name in sorted(options.values):
        if name not in known:
            owners = [check for check in CHECK_NAMES if name in CHECK_OPTIONS[check]]
            msg = f"--{name} is an option of {', '.join(owners)}, not of {options.check}"
            raise Usage(msg)
    given = list(options.values)
    for name, variable, value in settings:
        if name in known and name not in given:
            kind = OPTION_KINDS[name][0]
            for line in value.strip(b"\n").split(b"\n") if kind == "pairs" else [value]:
                _store(options, name, kind, line, variable)
            given.append(name)
    for first, second in (("ipv4", "ipv6"), ("quiet", "verbose"), ("unix-socket", "connect-to")):
        if options.has(first) and options.has(second):
            msg = f"--{first} and --{second} exclude each other"
            raise Usage(msg)
    if options.has("key") and not options.has("cert"):
        msg = "--key needs --cert, the certificate that the key belongs to"
        raise Usage(msg)
    if not options.seconds("timeout"):
        msg = "--timeout must be more than 0"
        raise Usage(msg)
    _collect_secrets(options)


def _implied_check(options: Options, settings: list[tuple[str, str, bytes]]) -> str:
    """Say which check is meant when none is named."""
    for name, variable, value in settings:
        if name == "check":
            named = visible_text(value)
            if named not in CHECK_OPTIONS:
                msg = f"{variable}: '{named}' is not a check{_perhaps(named, CHECK_OPTIONS, '')}"
                raise Usage(msg)
            return named
    if options.has("url") or [setting for setting in settings if setting[0] == "url"]:
        return "http"
    if options.has("pid-file"):
        return "process"
    msg = f"no check is named (one of {', '.join(CHECK_NAMES)}; try: probe http http://localhost:8080/health)"
    raise Usage(msg)


def _collect_secrets(options: Options) -> None:
    """Remember what must never be shown, wherever it turns up later."""
    if options.has("basic-auth"):
        secret = options.data("basic-auth")
        options.secrets += [visible_text(secret), visible_text(secret.partition(b":")[2])]
    for name, value in options.pairs("header") + options.pairs("metadata"):
        if is_secret_name(name):
            options.secrets += [visible_text(value), visible_text(value.rpartition(b" ")[2])]


def is_secret_name(name: str) -> bool:
    """Tell whether a header or query parameter of this name likely holds a credential."""
    word = lowered(name)
    return any(secret in word for secret in SECRET_NAMES) or word in {"sig", "pass", "pwd"}


def _perhaps(
    word: str, known: dict[str, tuple[str, ...]] | dict[str, tuple[str, str]], dashes: str
) -> str:
    """Return a guess at what was meant, or nothing."""
    distance, name = min([(_distance(word[:24], name), name) for name in known])
    return f", perhaps {dashes}{name}" if distance <= min(3, (len(word) + 1) // 2) else ""


def _distance(left: str, right: str) -> int:
    """Return the Levenshtein distance of two words."""
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        before = row
        row = [i]
        for j, other in enumerate(right, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (one != other)))
    return row[-1]
