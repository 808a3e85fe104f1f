"""URLs as targets: redis://USER:PASSWORD@HOST:PORT/0 becomes the options that say the same.

What is doubtful is refused. A URL can ask for TLS, but not for certificates that nobody checks: only --insecure can.
"""

from __future__ import annotations

from probe.errors import Usage
from probe.options import Check, Options, closed_by, find_option, is_secret_name
from probe.url import PERHAPS_PASSWORD, percent_decode, split_authority, split_url
from probe.values import lowered, shown_text, visible_text

# The names of parameters have many spellings: they are compared in lower case, without "-" and "_".
TLS_SWITCHES = ("sslmode", "ssl", "tls", "usessl")
TLS_WORDS = {
    "on": "require required verify-ca verify-full verify-identity true yes on 1 skip-verify",
    "perhaps": "allow prefer preferred",
    "off": "disable disabled false no off 0",
}
PARAMETERS = {
    "sslrootcert": "ca-file",
    "sslca": "ca-file",
    "sslcacerts": "ca-file",
    "cacertfile": "ca-file",
    "tlscafile": "ca-file",
    "sslcert": "cert",
    "sslcertfile": "cert",
    "certfile": "cert",
    "tlscertificatekeyfile": "cert",
    "sslkey": "key",
    "sslkeyfile": "key",
    "keyfile": "key",
    "host": "address",
    "port": "port",
    "socket": "unix-socket",
    "unixsocket": "unix-socket",
    "user": "user",
    "username": "user",
    "password": "password",
    "dbname": "database",
    "database": "database",
    "db": "database",
}
# The first ones would only make the check weaker; of the others, only these values ask for nothing.
NOT_FOLLOWED = (
    "sslcertreqs sslcheckhostname sslverifycert sslverifyidentity"
    " tlsinsecure tlsallowinvalidcertificates tlsallowinvalidhostnames"
)
HARMLESS = {
    "channelbinding": "disable prefer",
    "gssencmode": "disable prefer",
    "targetsessionattrs": "any",
}


def take_url(options: Options) -> None:
    """Turn the URL that names the server into the options that say the same, where there are none yet; raises Usage."""
    check = options.check
    target = check.options[0][0]
    source = "url" if options.has("url") else target
    url = options.data(source)
    if target == "url" or not check.schemes or (source == target and b"://" not in url):
        return
    if source != target and options.has(target):
        msg = f"--url and --{target} exclude each other"
        raise Usage(msg)
    options.values.pop(source)
    closed = list(options.values) + closed_by(options)
    found: dict[str, bytes] = {}
    _read_target(check, url, found, options.secrets)
    for name in sorted(found):
        row = find_option(name, check.options)
        if row and found[name] and name not in closed:
            options.store(name, row[1], found[name], f"the {name} in the URL", "")


def _read_target(check: Check, url: bytes, found: dict[str, bytes], secrets: list[str]) -> None:
    scheme, userinfo, address, rest = split_url(url)
    if b"#" in url or "@" in rest:
        msg = f"the URL has a # or @ where it has no meaning{PERHAPS_PASSWORD}"
        raise Usage(msg)
    switch, place = _scheme_of(check, scheme)
    if switch:
        found[switch] = b"true"
    user, _, password = (userinfo or "").partition(":")
    found["user"], found["password"] = _decoded(user), _decoded(password)
    secrets += [password, visible_text(found["password"])]
    path, mark, query = rest.partition("?")
    if scheme == "unix":
        name = f"@{address}{path}" if userinfo == "" else path
        if (address and userinfo != "") or name in {"", "@", "/"}:
            msg = "the URL of a Unix socket is unix:///PATH, or unix://@NAME for an abstract one"
            raise Usage(msg)
        target = check.options[0][0]
        found[target if target == "path" else "unix-socket"] = _decoded(name)
        path = ""
    else:
        _read_address(address, found)
    if not place and (path not in {"", "/"} or mark):
        msg = f"a {scheme}:// URL of {check.name} has neither path nor parameters"
        raise Usage(msg)
    if place:
        found[place] = _decoded(path[1:])
    for piece in query.split("&"):
        name, _, value = piece.partition("=")
        if is_secret_name(name):
            secrets += [value, visible_text(_decoded(value))]
        _take_parameter(name, _decoded(value), found)
    if "unix-socket" in found:
        found["address"] = b""


def _decoded(text: str) -> bytes:
    return percent_decode(text.encode())


def _scheme_of(check: Check, scheme: str) -> tuple[str, str]:
    """Return the switch that a scheme turns on, and the option that its path is for."""
    for name, switch, place in check.schemes:
        if name == scheme:
            return switch, place
    if scheme in {"tcp", "unix"} and find_option("unix-socket", check.options):
        return "", check.schemes[0][2]
    names = [f"{row[0]}://" for row in check.schemes]
    msg = f"{check.name} takes URLs that begin with {' or '.join(names)}, not this one"
    raise Usage(msg)


def _read_address(address: str, found: dict[str, bytes]) -> None:
    """Read HOST:PORT; the host may be a directory, with its slashes encoded, where the check knows what that means."""
    if lowered(address[:3]) == "%2f":
        host, _, port = address.partition(":")
        found["address"], found["port"] = _decoded(host), port.encode()
        return
    host, number = split_authority("localhost" + address if address[:1] in {"", ":"} else address)
    found["address"] = (f"[{host}]" if ":" in host else host).encode()
    found["port"] = f"{number or ''}".encode()


def _take_parameter(spelling: str, value: bytes, found: dict[str, bytes]) -> None:
    """Follow a parameter of the query. Those that are not known are of no meaning here, unless they speak of TLS."""
    name = lowered(spelling).replace("-", "").replace("_", "")
    word = lowered(visible_text(value)).replace("_", "-")
    option = PARAMETERS.get(name, "")
    if name in TLS_SWITCHES:
        off = word in TLS_WORDS["off"].split(" ")
        if off and found.get("tls") == b"true":
            msg = f"the URL asks for TLS, and by {spelling} for none"
            raise Usage(msg)
        if off or word in TLS_WORDS["on"].split(" "):
            found["tls"] = b"false" if off else b"true"
        elif word not in TLS_WORDS["perhaps"].split(" "):
            _refuse(spelling, word)
        if word.startswith("verify"):
            found["insecure"] = b"false"
    elif option:
        if option != "ca-file" or word != "system":
            found[option] = value
    elif name in HARMLESS:
        if word not in HARMLESS[name].split(" "):
            _refuse(spelling, word)
    elif name[:3] in {"ssl", "tls"} and name not in NOT_FOLLOWED.split(" "):
        _refuse(spelling, "")


def _refuse(spelling: str, word: str) -> None:
    shown = shown_text(f"{spelling}={word}" if word else spelling)
    msg = f"the URL's parameter {shown} asks for something that the probe cannot do"
    raise Usage(msg)
