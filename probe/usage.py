"""The help, made from the option tables."""

from __future__ import annotations

from probe.options import CHECK_NAMES, CHECK_OPTIONS, COMMON_OPTIONS, OPTION_KINDS

CHECK_HELP = {
    "http": "GET a URL; passes when the status is in --status",
    "tcp": "connect to HOST:PORT; with --expect, wait for a text",
    "unix": "connect to a Unix socket (@NAME: an abstract one)",
    "grpc": "grpc.health.v1.Health/Check says SERVING",
    "redis": "PING is answered by PONG (not: loading, busy)",
    "postgres": "accepts connections (as pg_isready)",
    "mysql": "MySQL or MariaDB greets; --user also logs in",
    "memcached": "answers its version",
    "amqp": "RabbitMQ and others start a connection",
    "file": "exists, is young enough, contains a text",
    "process": "runs and is no zombie (needs /proc)",
}
OPTION_HELP = {
    "address": "HOST:PORT; localhost is 127.0.0.1 and ::1",
    "basic-auth": "USER:PASSWORD",
    "body": "send this (as POST unless --method says else)",
    "ca-file": "PEM file to trust instead of the built-in ones",
    "cert": "PEM file with the certificate to show to the server",
    "connect-to": "HOST:PORT to connect to; URL and Host stay",
    "contains": "text that must be there",
    "expect": r"text to wait for; \r \n \t \0 \\ \xNN",
    "follow": "redirects to follow",
    "header": "'NAME: VALUE', repeatable; Host replaces Host",
    "insecure": "do not check the certificate",
    "interval": "wait between attempts",
    "ipv4": "IPv4 only (also -4)",
    "ipv6": "IPv6 only (also -6)",
    "json": "PATH=VALUE, such as status=ok or db.0.up=true",
    "json-output": "print one JSON object",
    "key": "PEM file with its key, if that is another file",
    "max-age": "changed at most this long ago, such as 60s",
    "max-body": "bytes to read at most",
    "metadata": "'NAME: VALUE', repeatable",
    "method": "such as HEAD",
    "name": "name or path of the program",
    "not-contains": "text that must not be there",
    "password-file": "file that holds the password",
    "path": "path",
    "pid-file": "file that holds the number of the process",
    "port": "replaces the port, as in --port-env APP_PORT",
    "quiet": "print nothing, only exit 0 or 1 (also -q)",
    "retries": "more attempts, all within --timeout",
    "send": r"text to send; \r \n \t \0 \\ \xNN",
    "server-name": "name in the certificate, if not the host's",
    "service": "name of the service (default: the server)",
    "status": "codes that pass: 200-299,401 or 2xx",
    "timeout": "one deadline for everything: 500ms, 3s, 1m",
    "tls": "use TLS",
    "unix-socket": "connect to this Unix socket instead",
    "url": "http://HOST:PORT/PATH",
    "user": "name to log in with",
    "user-agent": "default fromscratch-probe/VERSION",
    "verbose": "also print what happened on the way (also -v)",
}


def help_text(check: str) -> str:
    """Return the help of one check, or of the program."""
    return _check_text(check) if check else _program_text()


def _program_text() -> str:
    checks = "\n".join([f"  {name:10} {CHECK_HELP[name]}" for name in CHECK_NAMES])
    return f"""probe CHECK TARGET [options] [--and CHECK TARGET [options]]...
Checks once, prints one line, exits 0 (healthy) or 1 (anything else).

Checks (probe CHECK --help lists the options of each):
{checks}

Options of all checks:
{_option_lines(COMMON_OPTIONS)}

Every option can come from the environment: PROBE_STATUS is --status, PROBE_CHECK the check;
--X-env NAME reads --X from the variable NAME, which must be set: --url-env HEALTH_URL.

Examples:
  probe http http://localhost:8080/health --contains ok
  probe http://localhost/ --port-env PORT --header "Host: example.org"
  probe tcp db:5432 --retries 2 --interval 500ms
  probe http http://localhost:8080/ --and file /run/ready --max-age 60s
  HEALTHCHECK --timeout=5s CMD ["/probe", "http", "http://localhost:8080/health"]"""


def _check_text(check: str) -> str:
    names = CHECK_OPTIONS[check]
    return f"""probe {check} {names[0].upper()} [options]
{CHECK_HELP[check]}

Options ({names[0]} needs no --{names[0]}):
{_option_lines(names)}

Options of all checks:
{_option_lines(COMMON_OPTIONS)}"""


def _option_lines(names: tuple[str, ...]) -> str:
    lines = []
    for name in names:
        kind, default = OPTION_KINDS[name]
        word = name if kind == "flag" else f"{name} {value_word(kind)}"
        line = f"  --{word:22} {OPTION_HELP[name]}"
        lines.append(f"{line} (default {default})" if default else line)
    return "\n".join(lines)


def value_word(kind: str) -> str:
    """Return what stands for the value of an option in its help."""
    return "TEXT" if kind in {"raw", "bytes", "escapes"} else kind.upper()
