"""URLs as targets of every check that speaks to a server."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.checks import CHECKS
from probe.command import parse_command
from probe.errors import Usage
from probe.options import COMMON_OPTIONS, Check, Options, find_option
from probe.target_url import HARMLESS, NOT_FOLLOWED, PARAMETERS, TLS_SWITCHES, TLS_WORDS

SERVERS = [check for check in CHECKS if find_option("address", check.options) and check.schemes]
SCHEMES = [(check, *row) for check in SERVERS for row in check.schemes]
WITH_PARAMETERS = [row for row in SCHEMES if row[3]]
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=9)
HOSTS = st.one_of(
    st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z0-9]{1,5}){0,2}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)


def parse(*words: str, **environ: str) -> Options:
    env = {name.encode(): value.encode() for name, value in environ.items()}
    [options] = parse_command([word.encode() for word in words], env)
    return options


def given_to(options: Options, name: str) -> bytes | None:
    return options.data(name) if find_option(name, options.check.options) else None


@given(
    st.sampled_from(SCHEMES),
    NAMES | st.just(""),
    NAMES | st.just(""),
    HOSTS | st.just(""),
    st.integers(1, 65535) | st.just(0),
    NAMES | st.just(""),
    st.sampled_from(
        ["target", "named", "url", "address", "variable", "PROBE_URL", "PROBE_ADDRESS"]
    ),
)
@settings(max_examples=500)
def test_a_url_says_what_options_say(
    row: tuple[Check, str, str, str],
    user: str,
    password: str,
    host: str,
    port: int,
    database: str,
    form: str,
) -> None:
    check, scheme, switch, place = row
    userinfo = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    path = f"/{quote(database, safe='')}" if place and database else ""
    url = f"{scheme}://{userinfo}{'@' * bool(userinfo)}{host}{f':{port}' * bool(port)}{path}"
    name = check.name
    words, environ = {
        "target": ([url], {}),
        "named": ([name, url], {}),
        "url": (["--url", url], {}),
        "address": ([name, "--address", url], {}),
        "variable": ([name, "--url-env", "THE_URL"], {"THE_URL": url}),
        "PROBE_URL": ([], {"PROBE_URL": url}),
        "PROBE_ADDRESS": ([name], {"PROBE_ADDRESS": url}),
    }[form]
    options = parse(*words, **environ)
    assert options.check is check
    assert options.text("address") == (host or "localhost")
    assert options.count("port") == port
    assert options.flag("tls") == (switch == "tls")
    assert not options.has("url")
    for option, value in (("user", user), ("password", password), (place, database)):
        assert given_to(options, option) in {value.encode(), None}
    if password:
        assert password in options.secrets


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_every_check_of_a_server_takes_what_orchestrators_write(scheme: str) -> None:
    for check in SERVERS:
        if not find_option("unix-socket", check.options):
            with pytest.raises(Usage, match="takes URLs that begin with udp://"):
                parse(check.name, f"{scheme}://h:7")
            continue
        options = parse(check.name, {"tcp": "tcp://h:7", "unix": "unix:///run/a%20b"}[scheme])
        if scheme == "tcp":
            assert (options.text("address"), options.count("port")) == ("h", 7)
        else:
            assert options.data("unix-socket") == b"/run/a b"
    assert parse("unix", "unix:///run/s").data("path") == b"/run/s"
    assert parse("unix://@name").data("path") == b"@name"
    with pytest.raises(Usage, match="unix:///PATH"):
        parse("unix://run/s")


@pytest.mark.parametrize(
    ("words", "environ", "wanted"),
    [
        (["--user", "x"], {}, {"user": b"x", "password": b"pw"}),
        (["--password", "x"], {}, {"password": b"x", "user": b"u"}),
        (["--password-file", "/f"], {}, {"password-file": b"/f", "password": b""}),
        (["--port", "1"], {}, {"port": b"1", "address": b"h"}),
        (["--unix-socket", "/s"], {}, {"unix-socket": b"/s", "address": b"", "user": b"u"}),
        (["--database", "7"], {}, {"database": b"7"}),
        (["--tls=false"], {}, {"tls": b""}),
        (["--insecure"], {}, {"insecure": b"true", "tls": b"true"}),
        ([], {"PROBE_USER": "x", "PROBE_PASSWORD": "x"}, {"user": b"u", "password": b"pw"}),
        ([], {"PROBE_PASSWORD_FILE": "/f"}, {"password": b"pw", "password-file": b""}),
        ([], {"PROBE_PORT": "1", "PROBE_UNIX_SOCKET": "/s"}, {"port": b"2", "unix-socket": b""}),
        ([], {"PROBE_TLS": "false"}, {"tls": b"true"}),
        ([], {"PROBE_URL": "redis://x:y@z", "PROBE_ADDRESS": "z"}, {"address": b"h"}),
        ([], {"PROBE_DATABASE": "7", "PROBE_CA_FILE": "/ca"}, {"ca-file": b"/ca"}),
    ],
)
def test_an_argument_wins_over_a_url_and_that_over_a_variable(
    words: list[str], environ: dict[str, str], wanted: dict[str, bytes]
) -> None:
    options = parse("rediss://u:pw@h:2/5", *words, **environ)
    defaults = {"database": b"5"} | wanted
    assert {name: options.data(name) for name in defaults} == defaults


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"PROBE_USER": "x"}, {"user": b"x", "password": b"pw"}),
        ({"PROBE_PASSWORD_FILE": "/f"}, {"password": b"", "password-file": b"/f"}),
        ({"PROBE_PORT": "1"}, {"port": b"1"}),
        ({"PROBE_PORT": "tcp://10.0.0.1:80"}, {"port": b"2"}),
        ({"PROBE_UNIX_SOCKET": "/s"}, {"unix-socket": b"/s", "address": b""}),
    ],
)
def test_a_variable_of_its_own_wins_over_a_url_from_a_variable(
    environ: dict[str, str], wanted: dict[str, bytes]
) -> None:
    options = parse("redis", PROBE_URL="redis://u:pw@h:2/5", **environ)
    assert {name: options.data(name) for name in wanted} == wanted


def test_a_target_among_the_arguments_closes_the_url_of_the_environment() -> None:
    for words in (["redis", "h"], ["redis", "--unix-socket", "/s"], ["redis", "unix:///s"]):
        options = parse(*words, PROBE_URL="rediss://u:pw@other:2/5")
        assert not any(options.has(name) for name in ("user", "password", "database", "tls"))


@pytest.mark.parametrize(
    ("check", "alias", "option"),
    [(check, *alias) for check in SERVERS for alias in check.aliases if alias[1] != "address"],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_url_tells_what_the_other_names_of_options_mean(
    check: Check, alias: str, option: str
) -> None:
    row = find_option(option, (*check.options, *COMMON_OPTIONS))
    assert row
    if option == "url":
        return
    value = {"port": "7", "seconds": "7s", "pairs": "a: b", "flag": "true"}.get(row[1], "a.b")
    url = f"{check.schemes[0][0]}://h:1"
    for words in ([url], ["--url", url], [check.name, url], [check.name, "--url", url]):
        options = parse(*words, f"-{alias}={value}", *["--cert=/c"] * (option == "key"))
        assert options.data(option) == value.encode()


@pytest.mark.parametrize("check", SERVERS, ids=lambda check: check.name)
def test_a_url_beside_an_address_is_refused(check: Check) -> None:
    scheme = check.schemes[0][0]
    name = check.name
    for words in (["--url", f"{scheme}://h:1", "--address", "h:2"], ["--url", "h:1"], ["x://h:1"]):
        with pytest.raises(Usage):
            parse(name, *words)
    with pytest.raises(Usage, match="exclude each other"):
        parse(name, PROBE_URL=f"{scheme}://h:1", PROBE_ADDRESS="h:2")


# --- parameters ------------------------------------------------------------------------------------------------------


def spellings(name: str) -> st.SearchStrategy[str]:
    """Upper case, and hyphens and underscores anywhere within."""
    pieces = [st.sampled_from([one, one.upper(), f"{one}_", f"{one}-"]) for one in name]
    return st.tuples(*pieces).map("".join)


@given(st.sampled_from(WITH_PARAMETERS), st.sampled_from(TLS_SWITCHES), st.data())
@settings(max_examples=300)
def test_no_parameter_weakens_a_check(
    row: tuple[Check, str, str, str], name: str, data: st.DataObject
) -> None:
    _, scheme, switch, _ = row
    what = data.draw(st.sampled_from(sorted(TLS_WORDS)))
    word = data.draw(st.sampled_from(TLS_WORDS[what].split()))
    written = data.draw(st.sampled_from([word, word.upper(), word.replace("-", "_")]))
    url = f"{scheme}://h:1/?{data.draw(spellings(name))}={written}"
    if switch == "tls" and what == "off":
        with pytest.raises(Usage, match="asks for TLS, and by"):
            parse(url)
        return
    options = parse(url, PROBE_INSECURE="true" if word.startswith("verify") else "")
    assert options.flag("tls") == (switch == "tls" or what == "on")
    assert not options.flag("insecure")
    off = parse(url, PROBE_TLS="true")
    assert off.flag("tls") == (what != "off")


@given(st.sampled_from(WITH_PARAMETERS), st.sampled_from(sorted(PARAMETERS)), st.data())
def test_parameters_are_options(
    row: tuple[Check, str, str, str], name: str, data: st.DataObject
) -> None:
    _, scheme, _, _ = row
    option = PARAMETERS[name]
    value = "77" if option in {"port", "database"} else "v%2Fw" if option != "address" else "v.w"
    options = parse(f"{scheme}://h/?{data.draw(spellings(name))}={value}&pool=5&x", "--cert=/c")
    wanted = b"/c" if option == "cert" else value.replace("%2F", "/").encode()
    assert given_to(options, option) in {wanted, None}


def test_the_system_s_authorities_are_those_inside() -> None:
    assert not parse("postgres://h/db?sslmode=verify-full&sslrootcert=system").has("ca-file")
    assert parse("postgres://h/db?sslrootcert=/ca").data("ca-file") == b"/ca"


@pytest.mark.parametrize(
    "parameter",
    [
        *(
            "sslmode=x",
            "tls=custom",
            "sslcrl=/f",
            "ssl_min_protocol_version=TLSv1.3",
            "tls-x=",
            "ssl=",
        ),
        *("channel_binding=require", "target_session_attrs=read-write", "gssencmode=require"),
    ],
)
def test_what_cannot_be_done_is_refused(parameter: str) -> None:
    for _, scheme, _, _ in WITH_PARAMETERS:
        with pytest.raises(Usage, match=r"URL's parameter '.*' asks for"):
            parse(f"{scheme}://h/?{parameter}")


def test_what_asks_for_nothing_is_not_looked_at() -> None:
    for name in NOT_FOLLOWED.split():
        assert not parse(f"rediss://h/?{name}=none").flag("insecure")
    for name, words in HARMLESS.items():
        for word in words.split():
            parse(f"postgres://h/?{name}={word}")
    assert parse("mysql://h/db?charset=utf8mb4&parseTime=true&loc=Local").text("address") == "h"


def test_what_has_no_meaning_is_refused() -> None:
    for _, scheme, _, place in SCHEMES:
        parse(f"{scheme}://h:1/")
        for rest in ("/x", "/?a=b", "?a=b"):
            if not place:
                with pytest.raises(Usage, match="neither path nor parameters"):
                    parse(f"{scheme}://h:1{rest}")


@pytest.mark.parametrize(
    "url",
    [
        "postgres:///app?host=/run/pg&port=77",
        "postgres://%2Frun%2Fpg:77/app",
        "postgres://localhost:77/app?host=%2Frun%2Fpg/",
        "postgres://localhost:1/app?host=/run/pg&port=77",
    ],
)
def test_postgres_takes_the_directory_of_a_socket(url: str) -> None:
    for options in (parse(url), parse("postgres", "-h", "/run/pg", "-p", "77")):
        assert options.check.prepare(options)[0] == "/run/pg/.s.PGSQL.77"
    options = parse("postgres", "-h", "/run/pg")
    assert options.check.prepare(options)[0] == "/run/pg/.s.PGSQL.5432"


# --- secrets ---------------------------------------------------------------------------------------------------------

ENCODED = st.text("qv019%/?#@:!$ &=\\<é\n", min_size=1, max_size=8).map(lambda text: f"qv{text}qv")


@given(
    st.sampled_from([row[1] for row in SCHEMES] + ["http", "unix", "x"]),
    st.sampled_from(["{}://user:{}@h:1/0", "{}://:{}@h:1", "{}://{}@h:1/", "{}://h/0?password={}"]),
    ENCODED,
    st.booleans(),
    st.sampled_from([[], ["--port=0"], ["--unix-socket", "/\0"], ["--address=h"], ["--wrong"]]),
)
@settings(max_examples=1000)
def test_no_error_shows_a_part_of_a_password(
    scheme: str, shape: str, password: str, encode: bool, more: list[str]
) -> None:
    """Not even when it was not encoded, so that it is cut where a URL is."""
    url = shape.format(scheme, quote(password, safe="") if encode else password)
    try:
        options = parse(url, *more)
        target, _ = options.check.prepare(options)
    except Usage as error:
        target = str(error)
    if "%" in password or scheme == "http":
        return  # may stand for something else
    assert "qv" not in target.replace("***", ""), target
