"""From argv and the environment to checks with options."""

from __future__ import annotations

from probe.checks import CHECKS, check_names, find_check
from probe.errors import Usage
from probe.kinds import Option
from probe.options import (
    COMMON_OPTIONS,
    NO_CHECK,
    Check,
    Options,
    check_value,
    find_option,
    is_secret_name,
)
from probe.values import lowered, visible_text

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
# What is no option of a check.
PROGRAM_OPTIONS = (("help", "flag", "", ""), ("version", "flag", "", ""))
MOST_CHECKS = 16
ENVIRONMENT_PREFIX = b"PROBE_"


def any_option(name: str) -> Option | None:
    """Return the row of an option, whichever check it is of."""
    for rows in [COMMON_OPTIONS, PROGRAM_OPTIONS] + [check.options for check in CHECKS]:
        row = find_option(name, rows)
        if row:
            return row
    return None


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
        for name, _, _, _ in COMMON_OPTIONS:
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
    row = any_option(name)
    from_environment = not row and name.endswith("-env")
    if from_environment:
        name = name[:-4]
        row = any_option(name)
    if not row or len(word) - len(word.lstrip("-")) > 2:
        msg = f"unknown option {word}{_perhaps(name, _option_names(), '--')} (probe --help)"
        raise Usage(msg)
    kind = row[1]
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


def _take_plain(options: Options, plain: list[bytes]) -> None:
    """Give the words without a dash their meaning: the check's name and its target."""
    words = [visible_text(word) for word in plain]
    named = find_check(words[0]) if words else None
    if named:
        options.check = named
        words.pop(0)
    elif words and "://" in words[0]:
        options.check = _owners("url")[0]
    elif words and words[0] == "help" and not options.values:
        options.values["help"] = [b"true"]
        options.check = (words[1:] and find_check(words[1])) or NO_CHECK
        return
    elif words:
        word = words[0] if len(words[0]) <= 40 and "@" not in words[0] else "this"
        guess = _perhaps(word, [check.name for check in CHECKS], "")
        msg = f"'{word}' is not a check{guess} (one of {check_names()})"
        raise Usage(msg)
    if not words:
        return
    if len(words) > 1:
        # Not shown: the words may be parts of a secret whose quotes were forgotten.
        extra = len(words) - 1
        msg = f"{extra} words too many (quote values that hold spaces; probe {options.check.name} --help)"
        raise Usage(msg)
    name, kind, _, _ = options.check.options[0]
    if options.has(name):
        msg = f"the {name} is given twice"
        raise Usage(msg)
    _store(options, name, kind, plain[-1], name)


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
    if options.check == NO_CHECK:
        options.check = _implied_check(options, settings)
    known = options.known()
    for name in sorted(options.values):
        if not find_option(name, known):
            owners = ", ".join([check.name for check in _owners(name)])
            msg = f"--{name} is an option of {owners}, not of {options.check.name}"
            raise Usage(msg)
    given = list(options.values)
    for name, variable, value in settings:
        row = find_option(name, known)
        if row and name not in given:
            kind = row[1]
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


def _implied_check(options: Options, settings: list[tuple[str, str, bytes]]) -> Check:
    """Say which check is meant when none is named."""
    for name, variable, value in settings:
        if name == "check":
            word = visible_text(value)
            named = find_check(word)
            if not named:
                guess = _perhaps(word, [check.name for check in CHECKS], "")
                msg = f"{variable}: '{word}' is not a check{guess}"
                raise Usage(msg)
            return named
    if options.has("url") or [setting for setting in settings if setting[0] == "url"]:
        return _owners("url")[0]
    if options.has("pid-file"):
        return _owners("pid-file")[0]
    msg = (
        f"no check is named (one of {check_names()}; try: probe http http://localhost:8080/health)"
    )
    raise Usage(msg)


def _collect_secrets(options: Options) -> None:
    """Remember what must never be shown, wherever it turns up later."""
    if options.has("basic-auth"):
        secret = options.data("basic-auth")
        options.secrets += [visible_text(secret), visible_text(secret.partition(b":")[2])]
    for name, value in options.pairs("header") + options.pairs("metadata"):
        if is_secret_name(name):
            options.secrets += [visible_text(value), visible_text(value.rpartition(b" ")[2])]


def _owners(name: str) -> list[Check]:
    """Return the checks that have an option."""
    return [check for check in CHECKS if find_option(name, check.options)]


def _option_names() -> list[str]:
    rows: tuple[Option, ...] = COMMON_OPTIONS
    for check in CHECKS:
        rows += check.options
    return [row[0] for row in rows]


def _perhaps(word: str, known: list[str], dashes: str) -> str:
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
