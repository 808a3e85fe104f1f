"""The help, made from the tables of checks and options."""

from __future__ import annotations

from probe.checks import CHECKS, find_check
from probe.kinds import Option
from probe.options import COMMON_OPTIONS, NO_CHECK, STARTTLS, SWITCHED_TLS_OPTIONS, Check
from probe.system import HAS_TLS
from probe.values import visible_text
from probe.version import VERSION

HELP_WORDS = ("--help", "-help", "-h")


def asked_text(argv: list[bytes]) -> str:
    """Return the help or the version when nothing but that is asked for, else nothing.

    Beside a check it would make everything healthy for ever, so it is no option of one.
    """
    words = [visible_text(word) for word in argv]
    if len(words) == 1 and words[0] in HELP_WORDS + ("help",):
        return help_text(NO_CHECK)
    if len(words) == 1 and words[0] in {"--version", "-version"}:
        return f"probe {VERSION}"
    if len(words) == 2 and words[0] == "help":
        words = [words[1], "--help"]
    if len(words) == 2 and words[1] in HELP_WORDS:
        check = find_check(words[0])
        # There, -h is the host.
        if check and not (words[1] == "-h" and ("h", "address") in check.aliases):
            return help_text(check)
    return ""


def help_text(check: Check) -> str:
    """Return the help of one check, or of the program."""
    return _program_text() if check == NO_CHECK else _check_text(check)


def _program_text() -> str:
    checks = "\n".join([f"  {check.name:10} {check.purpose}" for check in CHECKS])
    return f"""probe CHECK TARGET [options] [--and CHECK TARGET [options]]...
Checks once, prints one line, exits 0 (healthy) or 1 (anything else).

Checks (probe CHECK --help lists the options of each):
{checks}

Options of all checks:
{_option_lines(COMMON_OPTIONS)}

Every option can come from the environment: PROBE_STATUS is --status, PROBE_CHECK the check,
PROBE_2_STATUS the --status of the second check; -h HOST is the host in redis, postgres, mysql;
--X-env NAME reads --X from the variable NAME, which must be set: --url-env HEALTH_URL.

Examples:
  probe http http://localhost:8080/health --contains ok
  probe http://localhost/ --port-env PORT --header "Host: example.org"
  probe tcp db:5432 --retries 2 --interval 500ms
  probe redis --url-env REDIS_URL --and postgres://app@db/shop
  probe http http://localhost:8080/ --and file /run/ready --max-age 60s
  HEALTHCHECK --timeout=5s CMD ["/probe", "http", "http://localhost:8080/health"]"""


def _check_text(check: Check) -> str:
    target = check.options[0][0]
    urls = ", ".join([f"{row[0]}://" for row in check.schemes])
    urls = f"\nURLs: {urls}" if urls else ""
    return f"""probe {check.name} {target.upper()} [options]
{check.purpose}{urls}

Options ({target} needs no --{target}):
{_option_lines(check.options)}

Options of all checks:
{_option_lines(COMMON_OPTIONS)}"""


def _option_lines(rows: tuple[Option, ...]) -> str:
    lines = []
    for row in rows:
        name, kind, default, text = row
        if not HAS_TLS and (row == STARTTLS or row in SWITCHED_TLS_OPTIONS):
            continue
        word = name if kind == "flag" else f"{name} {value_word(kind)}"
        line = f"  --{word:22} {text}"
        lines.append(f"{line} (default {default})" if default else line)
    return "\n".join(lines)


def value_word(kind: str) -> str:
    """Return what stands for the value of an option in its help."""
    if kind == "share":
        return "SECONDS"
    texts = {"raw", "texts", "bytes", "secret", "escapes", "replies"}
    return "TEXT" if kind in texts else kind.upper()
