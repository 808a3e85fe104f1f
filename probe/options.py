"""From argv and the environment to checks with options. Two tables say what exists."""

from __future__ import annotations

from probe.errors import Usage
from probe.values import (
    decode_text,
    encode_text,
    is_token,
    parse_count,
    parse_escapes,
    parse_seconds,
    parse_size,
    parse_status,
)

# Every option: its kind, and the default that its help shows.
OPTION_KINDS = {
    "address": ("text", ""),
    "and": ("flag", ""),
    "basic-auth": ("text", ""),
    "body": ("raw", ""),
    "ca-file": ("text", ""),
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
    "max-age": ("seconds", ""),
    "max-body": ("size", "1M"),
    "metadata": ("pairs", ""),
    "method": ("token", "GET"),
    "name": ("text", ""),
    "not-contains": ("raw", ""),
    "password-file": ("text", ""),
    "path": ("text", ""),
    "pid-file": ("text", ""),
    "port": ("port", ""),
    "quiet": ("flag", ""),
    "retries": ("count", "0"),
    "send": ("escapes", ""),
    "server-name": ("text", ""),
    "service": ("text", ""),
    "status": ("status", "200-399"),
    "timeout": ("seconds", "3s"),
    "tls": ("flag", ""),
    "unix-socket": ("text", ""),
    "url": ("text", ""),
    "user": ("text", ""),
    "user-agent": ("text", ""),
    "verbose": ("flag", ""),
    "version": ("flag", ""),
}
COMMON_OPTIONS = ("timeout", "retries", "interval", "quiet", "verbose", "json-output")
SERVER_OPTIONS = ("address", "port", "unix-socket", "ipv4", "ipv6")
TLS_OPTIONS = ("ca-file", "insecure", "server-name")

# Every check: the options it knows beside the common ones; the first is the one that needs no name.
CHECK_OPTIONS = {
    "http": (
        *(
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
        ),
        *(
            "unix-socket",
            "user-agent",
            "basic-auth",
            "connect-to",
            "max-body",
            "ipv4",
            "ipv6",
            *TLS_OPTIONS,
        ),
    ),
    "tcp": (*SERVER_OPTIONS, "send", "expect"),
    "unix": ("path", "send", "expect"),
    "grpc": (*SERVER_OPTIONS, "service", "metadata", "user-agent", "tls", *TLS_OPTIONS),
    "redis": (*SERVER_OPTIONS, "user", "password-file"),
    "postgres": (*SERVER_OPTIONS, "user"),
    "mysql": (*SERVER_OPTIONS, "user"),
    "memcached": SERVER_OPTIONS,
    "amqp": SERVER_OPTIONS,
    "file": ("path", "max-age", "contains", "max-body"),
    "process": ("name", "pid-file"),
}

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
    """One check and its options. The texts have been checked when they are read from here."""

    def __init__(self) -> None:
        self.check = ""
        self.values: dict[str, list[str]] = {}
        self.secrets: list[str] = []

    def text(self, name: str) -> str:
        """Return the text of an option, or its default."""
        found = self.values.get(name)
        return found[-1] if found else OPTION_KINDS[name][1]

    def has(self, name: str) -> bool:
        """Tell whether the option was given."""
        return name in self.values

    def many(self, name: str) -> list[str]:
        """Return all values of an option that can be repeated."""
        return self.values.get(name, [])

    def flag(self, name: str) -> bool:
        """Tell whether a switch is on."""
        return self.text(name).lower() in TRUE_WORDS

    def count(self, name: str) -> int:
        """Return a number; 0 when not given and without a default."""
        return int(self.text(name) or 0)

    def seconds(self, name: str) -> float:
        """Return a duration."""
        return parse_seconds(self.text(name))

    def family(self) -> int:
        """Return 4 or 6 when only such addresses may be used, else 0."""
        return 4 if self.flag("ipv4") else 6 if self.flag("ipv6") else 0

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Return the 'NAME: VALUE' pairs of an option; values may hold colons."""
        found = []
        for text in self.values.get(name, ()):
            key, _, value = text.partition(":")
            found.append((key.strip(), value.strip()))
        return found


def parse_command(argv: list[str], environ: dict[bytes, bytes]) -> list[Options]:
    """Read a command line (without the program's name) and the environment; raises Usage."""
    if not argv and not any(key.startswith(ENVIRONMENT_PREFIX) for key in environ):
        msg = "nothing to check (try: probe http http://localhost:8080/health, or probe --help)"
        raise Usage(msg)
    checks, common, place = [], {}, 0
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


def _read_segment(argv: list[str], place: int, environ: dict[bytes, bytes]) -> tuple[Options, int]:
    """Read one check, up to --and or the end."""
    options, plain, only_plain = Options(), [], False
    while place < len(argv):
        word = argv[place]
        if only_plain or not word.startswith("-") or word == "-":
            plain.append(word)
        elif word == "--":
            only_plain = True
        elif word == "--and":
            break
        else:
            place = _read_option(options, argv, place, environ)
        place += 1
    _take_plain(options, plain)
    return options, place


def _read_option(options: Options, argv: list[str], place: int, environ: dict[bytes, bytes]) -> int:
    """Read the option at this place; return the place of its last word."""
    word, equals, value = argv[place].partition("=")
    name = word.lstrip("-")
    name = GO_NAMES.get(name, name)
    if len(name) == 1 and not word.startswith("--"):
        name = SHORT_NAMES.get(name, name)
    from_environment = name not in OPTION_KINDS and name.endswith("-env")
    name = name.removesuffix("-env") if from_environment else name
    if name not in OPTION_KINDS or len(word) - len(word.lstrip("-")) > 2 or name == "and":
        msg = f"unknown option {word}{_perhaps(name, OPTION_KINDS, '--')} (probe --help)"
        raise Usage(msg)
    kind = OPTION_KINDS[name][0]
    if kind == "flag" and not from_environment:
        value = value if equals else "true"
    elif not equals:
        place += 1
        if place >= len(argv) or argv[place] == "--and":
            msg = f"{word} needs a value"
            raise Usage(msg)
        value = argv[place]
    if from_environment:
        variable, value = value, decode_text(environ.get(encode_text(value), b""))
        if not value:
            msg = f"the environment variable {variable}, named by {word}, is not set or empty"
            raise Usage(msg)
    _store(options, name, kind, value, word)
    return place


def _store(options: Options, name: str, kind: str, value: str, source: str) -> None:
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


def check_value(kind: str, value: str) -> None:
    """Refuse what the option does not take, and line breaks and other controls (injection)."""
    if kind not in {"raw", "escapes"} and not is_clean(value):
        msg = "line breaks and other control characters are not allowed here"
        raise Usage(msg)
    if not value:
        msg = "the value is empty"
        raise Usage(msg)
    if kind == "flag" and value.lower() not in TRUE_WORDS + FALSE_WORDS:
        msg = f"{value!r} is neither true nor false"
        raise Usage(msg)
    if kind == "token" and not is_token(value):
        msg = "this is not a method (a word such as GET or HEAD)"
        raise Usage(msg)
    if kind == "pairs" and not is_token(value.partition(":")[0].strip()):
        msg = "write NAME: VALUE"
        raise Usage(msg)
    if kind == "pairs" and ":" not in value:
        msg = "write NAME: VALUE"
        raise Usage(msg)
    if kind == "path" and not value.partition("=")[0]:
        msg = "write PATH=VALUE, such as status=ok or db.0.up=true"
        raise Usage(msg)
    if kind == "path" and "=" not in value:
        msg = "write PATH=VALUE, such as status=ok or db.0.up=true"
        raise Usage(msg)
    _check_number(kind, value)


def _check_number(kind: str, value: str) -> None:
    if kind == "seconds":
        parse_seconds(value)
    elif kind == "count":
        parse_count(value, 0, HIGHEST_COUNT)
    elif kind == "port":
        parse_count(value, 1, 65535)
    elif kind == "size":
        parse_size(value, LARGEST_BODY)
    elif kind == "status":
        parse_status(value)
    elif kind == "escapes":
        parse_escapes(value)


def is_clean(text: str) -> bool:
    """Tell whether text is free of ASCII control characters; a tab is fine."""
    if text.isascii() and text.isprintable():
        return True
    return not any(character < " " or character == "\x7f" for character in text.replace("\t", " "))


def _take_plain(options: Options, plain: list[str]) -> None:
    """Give the words without a dash their meaning: the check's name and its target."""
    if plain and plain[0] in CHECK_OPTIONS:
        options.check = plain.pop(0)
    elif plain and "://" in plain[0]:
        options.check = "http"
    elif plain and plain[0] == "help" and not options.values:
        options.values["help"] = ["true"]
        options.check = plain[1] if plain[1:] and plain[1] in CHECK_OPTIONS else ""
        return
    elif plain:
        word = plain[0] if len(plain[0]) <= 40 and "@" not in plain[0] else "this"
        guess = _perhaps(word, CHECK_OPTIONS, "")
        msg = f"{word!r} is not a check{guess} (one of {', '.join(CHECK_OPTIONS)})"
        raise Usage(msg)
    if not plain:
        return
    if len(plain) > 1:
        # Not shown: the words may be parts of a secret whose quotes were forgotten.
        extra = len(plain) - 1
        msg = (
            f"{extra} words too many (quote values that hold spaces; probe {options.check} --help)"
        )
        raise Usage(msg)
    name = CHECK_OPTIONS[options.check][0]
    if options.has(name):
        msg = f"the {name} is given twice"
        raise Usage(msg)
    _store(options, name, OPTION_KINDS[name][0], plain[0], name)


def _finish(options: Options, environ: dict[bytes, bytes]) -> None:
    """Find out which check is meant, add the environment, and see that all fits together."""
    settings = {
        decode_text(key[len(ENVIRONMENT_PREFIX) :]).lower().replace("_", "-"): (
            decode_text(key),
            decode_text(value),
        )
        for key, value in environ.items()
        if key.startswith(ENVIRONMENT_PREFIX) and value
    }
    if not options.check:
        options.check = _implied_check(options, settings)
    known = CHECK_OPTIONS[options.check] + COMMON_OPTIONS
    for name in options.values:
        if name not in known:
            owners = [check for check, names in CHECK_OPTIONS.items() if name in names]
            msg = f"--{name} is an option of {', '.join(owners)}, not of {options.check}"
            raise Usage(msg)
    for name, (variable, value) in settings.items():
        if name in known and name not in options.values:
            kind = OPTION_KINDS[name][0]
            for line in value.strip("\n").split("\n") if kind == "pairs" else [value]:
                _store(options, name, kind, line, variable)
    for first, second in (("ipv4", "ipv6"), ("quiet", "verbose"), ("unix-socket", "connect-to")):
        if (
            first in options.values
            and second in options.values
            and options.text(first)
            and options.text(second)
        ):
            msg = f"--{first} and --{second} exclude each other"
            raise Usage(msg)
    if not options.seconds("timeout"):
        msg = "--timeout must be more than 0"
        raise Usage(msg)
    _collect_secrets(options)


def _implied_check(options: Options, settings: dict[str, tuple[str, str]]) -> str:
    """Say which check is meant when none is named."""
    variable, named = settings.get("check", ("", ""))
    if named:
        if named not in CHECK_OPTIONS:
            msg = f"{variable}: {named!r} is not a check{_perhaps(named, CHECK_OPTIONS, '')}"
            raise Usage(msg)
        return named
    if options.has("url") or "url" in settings:
        return "http"
    if options.has("pid-file"):
        return "process"
    msg = f"no check is named (one of {', '.join(CHECK_OPTIONS)}; try: probe http http://localhost:8080/health)"
    raise Usage(msg)


def _collect_secrets(options: Options) -> None:
    """Remember what must never be shown, wherever it turns up later."""
    if options.has("basic-auth"):
        secret = options.text("basic-auth")
        options.secrets += [secret, secret.partition(":")[2]]
    for name, value in options.pairs("header") + options.pairs("metadata"):
        if is_secret_name(name):
            options.secrets += [value, value.rpartition(" ")[2]]


def is_secret_name(name: str) -> bool:
    """Tell whether a header or query parameter of this name likely holds a credential."""
    lowered = name.lower()
    return any(word in lowered for word in SECRET_NAMES) or lowered in {"sig", "pass", "pwd"}


def _perhaps(
    word: str, known: dict[str, tuple[str, ...]] | dict[str, tuple[str, str]], dashes: str
) -> str:
    """Return a guess at what was meant, or nothing."""
    ranked = sorted([(_distance(word[:24], name), name) for name in known])
    return (
        f", perhaps {dashes}{ranked[0][1]}" if ranked[0][0] <= min(3, (len(word) + 1) // 2) else ""
    )


def _distance(left: str, right: str) -> int:
    """Return the Levenshtein distance of two words."""
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        before = row
        row = [i]
        for j, other in enumerate(right, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (one != other)))
    return row[-1]
