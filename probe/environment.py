"""From the environment to options: PROBE_X is --X of the first check, PROBE_2_X of the second.

An argument always wins over a variable, also one that says the same thing in another way.
"""

from __future__ import annotations

from probe.checks import CHECKS, check_names, check_of_url, find_check
from probe.errors import Usage
from probe.guess import perhaps
from probe.options import Check, Options, closed_by, find_option
from probe.values import DIGITS, lowered, visible_text, without_password

ENVIRONMENT_PREFIX = b"PROBE_"
LINE_KINDS = ("pairs", "condition")  # one value per line
DETOURS = ("unix-socket", "connect-to")


def settings_of(environ: dict[bytes, bytes], number: int) -> list[tuple[str, str, bytes]]:
    """Return (option, variable, value) for one check, 0 is the first, in the order of the alphabet; no empty ones."""
    settings = []
    for key in sorted([key for key in environ if key.startswith(ENVIRONMENT_PREFIX)]):
        variable = visible_text(key)
        name = lowered(variable[len(ENVIRONMENT_PREFIX) :]).replace("_", "-")
        place, dash, rest = name.partition("-")
        if dash and place and not place.strip(DIGITS):
            name = rest
        else:
            place = "1"
        if place == str(number + 1) and environ[key]:
            settings.append((name, variable, environ[key]))
    return settings


def fill_from_environment(options: Options, environ: dict[bytes, bytes], number: int) -> None:
    """Add to the options of a check what its arguments left open; raises Usage."""
    arguments = list(options.values)
    excluded = closed_by(options)
    target = options.check.options[0][0]
    if target in arguments:
        excluded += DETOURS
        excluded += ["port"] if has_port(options.data(target)) else []
    elif "port" in arguments:
        excluded += DETOURS
    if target != "url" and (target in arguments or "unix-socket" in arguments):
        excluded.append("url")
    known = options.check.options if number else options.known()
    filled: list[str] = []
    for name, variable, value in settings_of(environ, number):
        row = find_option(name, known)
        if not row or name in arguments + excluded + filled:
            continue
        kind = row[1]
        if kind == "port" and b"://" in value:
            continue  # of Kubernetes, beside a Service named "probe": tcp://10.0.0.1:80
        for line in value.strip(b"\n").split(b"\n") if kind in LINE_KINDS else [value]:
            options.store(name, kind, line, variable, variable)
        filled.append(name)


def has_port(target: bytes) -> bool:
    """Tell whether an address or URL names its port."""
    rest = target.partition(b"://")[2] or target
    for end in (b"/", b"?", b"#"):
        rest = rest.partition(end)[0]
    return bool(rest.rpartition(b"@")[2].rpartition(b"]")[2].partition(b":")[2])


def implied_check(options: Options, environ: dict[bytes, bytes], number: int) -> Check:
    """Say which check is meant when none is named."""
    settings = settings_of(environ, number)
    url = options.data("url")
    for name, variable, value in settings:
        url = value if name == "url" and not url else url
        if name == "check":
            word = visible_text(value)
            named = find_check(word)
            if not named:
                guess = perhaps(word, [check.name for check in CHECKS], "")
                msg = f"{variable}: '{without_password(word)}' is not a check{guess}"
                raise Usage(msg)
            return named
    if url:
        return check_of_url(url)
    for name in list(options.values):
        owners = [check for check in CHECKS if find_option(name, check.options)]
        if len(owners) == 1:
            return owners[0]
    msg = (
        f"no check is named (one of {check_names()}; try: probe http http://localhost:8080/health)"
    )
    raise Usage(msg)
