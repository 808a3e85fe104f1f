"""From argv to checks with options."""

from __future__ import annotations

from probe.checks import CHECKS, check_names, check_of_url, find_check
from probe.environment import fill_from_environment, implied_check, settings_of
from probe.errors import Usage
from probe.guess import perhaps
from probe.kinds import Option
from probe.options import COMMON_OPTIONS, EXCLUSIVE, NO_CHECK, REPEATED_KINDS, Options, find_option
from probe.target_url import take_url
from probe.values import visible_text, without_password

SHORT_NAMES = {"4": "ipv4", "6": "ipv6", "h": "help", "q": "quiet", "v": "verbose"}
ALONE = ("help", "version")  # what is no option of a check: see asked_text
MOST_CHECKS = 16


def parse_command(
    argv: list[bytes], environ: dict[bytes, bytes], secrets: list[str] | None = None
) -> list[Options]:
    """Read a command line (without the program's name) and the environment; raises Usage.

    To `secrets` is added what must never be shown, also when it raises.
    """
    if not argv and not settings_of(environ, 0):
        msg = "nothing to check (try: probe http http://localhost:8080/health, or probe --help)"
        raise Usage(msg)
    hidden: list[str] = [] if secrets is None else secrets
    checks: list[Options] = []
    common: dict[str, list[bytes]] = {}
    place = 0
    while True:
        options = Options(hidden)
        place = _read_segment(options, argv, place, environ)
        checks.append(options)
        for name, _, _, _ in COMMON_OPTIONS:
            value = options.values.pop(name, None)
            if value is not None and common.setdefault(name, value) != value:
                msg = f"--{name} is given twice, and counts for all checks"
                raise Usage(msg)
        if place >= len(argv):
            break
        place += 1  # the --and
        if len(checks) == MOST_CHECKS:
            msg = f"more than {MOST_CHECKS} checks"
            raise Usage(msg)
    checks[0].values.update(common)
    for number, options in enumerate(checks):
        _finish(options, environ, number)
    if not checks[0].has("timeout"):
        longest = max([options.shares() for options in checks])
        checks[0].values["timeout"] = [f"{int(longest * 1000 + 0.5)}ms".encode()]
    for options in checks:
        for name, _, _, _ in COMMON_OPTIONS:
            if name in checks[0].values:
                options.values[name] = checks[0].values[name]
    return checks


def _read_segment(
    options: Options, argv: list[bytes], place: int, environ: dict[bytes, bytes]
) -> int:
    """Read one check, up to --and or the end; return the place of that."""
    only_plain, first = False, True
    plain: list[bytes] = []
    while place < len(argv):
        word = argv[place]
        if only_plain or not word.startswith(b"-") or word == b"-":
            named = find_check(visible_text(word)) if first else None
            if first:  # at once: the words behind it may be other names of its options
                is_url = not named and b"://" in word
                options.check = named or (check_of_url(word) if is_url else NO_CHECK)
            first = False
            plain += [] if named else [word]
        elif word == b"--":
            only_plain = True
        elif word == b"--and":
            break
        else:
            place = _read_option(options, argv, place, environ)
        place += 1
    _take_plain(options, plain)
    return place


def any_option(name: str) -> Option | None:
    """Return the row of an option, whichever check it is of."""
    for rows in [COMMON_OPTIONS] + [check.options for check in CHECKS]:
        row = find_option(name, rows)
        if row:
            return row
    return None


def _option_name(options: Options, name: str) -> str:
    """Return what a name stands for in this check; those of the Go tool need no check's name."""
    check = CHECKS[0] if options.check == NO_CHECK else options.check
    for alias, meant in check.aliases:
        if alias == name:
            return meant
    return name


def _read_option(
    options: Options, argv: list[bytes], place: int, environ: dict[bytes, bytes]
) -> int:
    """Read the option at this place; return the place of its last word."""
    given, equals, value = argv[place].partition(b"=")
    word = visible_text(given)
    stem = word.lstrip("-")
    name = _option_name(options, stem)
    if name == stem and len(name) == 1 and not word.startswith("--"):
        name = SHORT_NAMES.get(name, name)
    row = any_option(name)
    from_environment = not row and name.endswith("-env")
    if from_environment:
        name = _option_name(options, name[:-4])
        row = any_option(name)
    if name in ALONE:
        msg = f"--{name} stands alone: probe --help, probe CHECK --help, probe --version"
        raise Usage(msg)
    if not row or len(word) - len(stem) > 2:
        msg = f"unknown option {_unknown(options, word, name)} (probe --help)"
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
    variable = ""
    if from_environment:
        variable, value = visible_text(value), environ.get(value, b"")
        if not value:
            variable = without_password(variable)
            msg = f"the environment variable {variable}, named by {word}, is not set or empty"
            raise Usage(msg)
    if name in options.values and kind not in REPEATED_KINDS:
        msg = f"--{name} is given twice"
        raise Usage(msg)
    options.store(name, kind, value, word, variable)
    if name == "url" and options.check == NO_CHECK:
        options.check = check_of_url(value)
    return place


def _unknown(options: Options, word: str, name: str) -> str:
    """Return an unknown option with a guess; a value may be glued to it, as in -pSECRET."""
    rows = options.known() + (() if options.check != NO_CHECK else CHECKS[0].options)
    guess = perhaps(name, [row[0] for row in rows], "--")
    if not guess:
        others: list[str] = []
        for check in CHECKS:
            others += [row[0] for row in check.options]
        guess = perhaps(name, others, "--")
    shown = word if guess or word.startswith("--") or len(word) < 3 else word[:2] + "..."
    return without_password(shown) + guess


def _take_plain(options: Options, plain: list[bytes]) -> None:
    """Give the words without a dash, but for the check's name, their meaning: the target."""
    if not plain:
        return
    if options.check == NO_CHECK:
        first = visible_text(plain[0])
        word = first if len(first) <= 40 and "@" not in first else "this"
        guess = perhaps(word, [check.name for check in CHECKS], "")
        msg = f"'{word}' is not a check{guess} (one of {check_names()})"
        raise Usage(msg)
    if len(plain) > 1:
        # Not shown: the words may be parts of a secret whose quotes were forgotten.
        extra = len(plain) - 1
        name = options.check.name
        msg = f"{extra} words too many (quote values that hold spaces; probe {name} --help)"
        raise Usage(msg)
    name, kind, _, _ = options.check.options[0]
    if name in options.values:
        msg = f"the {name} is given twice"
        raise Usage(msg)
    options.store(name, kind, plain[-1], name, "")


def _finish(options: Options, environ: dict[bytes, bytes], number: int) -> None:
    """Find out which check is meant, add the environment, and see that all fits together."""
    if options.check == NO_CHECK:
        options.check = implied_check(options, environ, number)
    known = options.known()
    for name in sorted(options.values):
        if not find_option(name, known):
            owners = ", ".join([check.name for check in CHECKS if find_option(name, check.options)])
            msg = f"--{name} is an option of {owners}, not of {options.check.name}"
            raise Usage(msg)
    take_url(options)
    fill_from_environment(options, environ, number)
    take_url(options)
    for first, second in EXCLUSIVE + options.check.exclusive:
        if options.has(first) and options.has(second):
            msg = f"--{first} and --{second} exclude each other"
            raise Usage(msg)
    if options.has("key") and not options.has("cert"):
        msg = "--key needs --cert, the certificate that the key belongs to"
        raise Usage(msg)
    if not options.seconds("timeout"):
        msg = "--timeout must be more than 0"
        raise Usage(msg)
