"""The http check: request, redirects, verdict."""

from __future__ import annotations

from probe.address import known_addresses, split_host_port, unix_address
from probe.errors import Unhealthy, Usage
from probe.http import (
    Response,
    body_coding,
    body_length,
    build_request,
    read_body,
    read_response,
)
from probe.json_path import json_mismatch
from probe.kinds import Callable, Steps
from probe.network import connect_host
from probe.options import (
    BASIC_AUTH,
    CONNECT_TO,
    CONTAINS,
    HEADER,
    IP_OPTIONS,
    MAX_BODY,
    PORT,
    TLS_OPTIONS,
    UNIX_SOCKET,
    USER_AGENT_OPTION,
    Check,
    Options,
    is_secret_name,
)
from probe.scheduler import Trace
from probe.stream import Stream, open_stream
from probe.tls import check_tls_options, start_tls
from probe.url import Url, join_url, parse_url, percent_decode
from probe.values import base64_text, lowered, parse_size, parse_status, quoted, visible_text
from probe.version import USER_AGENT

REDIRECTS = (301, 302, 303, 307, 308)
OWN_FIELDS = ("content-length", "transfer-encoding", "connection")
BODY_OPTIONS = ("contains", "not-contains", "json")
LONGEST_LOCATION = 8192  # RFC 9110 section 4.1 asks for 8000
LONGEST_NOTED = 1024  # bytes of a header's value
LONGEST_HOP, MOST_HOPS = 200, 400  # characters
AT_HOME_FIELDS = ("authorization", "cookie", "proxy-authorization", "host")


def prepare_http(options: Options) -> tuple[str, Callable[[Trace], Steps[str]]]:
    """Check the options; return what to call the target, and the check."""
    if not options.has("url"):
        msg = "http needs a URL (try: probe http http://localhost:8080/health)"
        raise Usage(msg)
    url = checked_url(options, options.data("url"), OWN_FIELDS)
    check_tls_options(options, url.scheme == "https", bool(options.count("follow")))
    return url.shown(), lambda trace: check_http(options, url, trace)


def checked_url(options: Options, data: bytes, own_fields: tuple[str, ...]) -> Url:
    """Read the URL of a check, and see that what else leads to it can be used; raises Usage.

    `own_fields` are the headers that nobody may replace.
    """
    url = parse_url(data)
    url.port = options.count("port") or url.port
    options.secrets += url.secrets()
    known_addresses(url.host, options.family())
    for name, _ in options.pairs("header"):
        if lowered(name) in own_fields:
            msg = f"--header {name}: the probe sets this one itself"
            raise Usage(msg)
    if options.has("connect-to"):
        split_host_port(options.text("connect-to"), url.port)
    if options.has("unix-socket"):
        unix_address(options.data("unix-socket"))
    return url


def check_http(options: Options, first: Url, trace: Trace) -> Steps[str]:
    """Make the request, follow redirects as far as allowed, and judge the last response."""
    url, follow = first, options.count("follow")
    method = options.text("method") if options.has("method") or not options.has("body") else "POST"
    body, hops, secrets = options.data("body"), "", options.secrets
    while True:
        same_origin = url.origin() == first.origin()
        stream = yield from open_url(options, url, same_origin, trace)
        try:
            fields = request_fields(options, url, first, same_origin) + [("Connection", b"close")]
            trace.phase = f"sending the request to {stream.peer}"
            yield from stream.send(build_request(method, url.target, fields, body))
            trace.phase = f"waiting for the response of {stream.peer}"
            response = yield from read_response(stream)
            note_response(response, trace, not options.count("follow"))
            location = response.field(b"location")
            if not location or not options.count("follow") or response.status not in REDIRECTS:
                return hops + (yield from _judge(options, response, method, stream))
        finally:
            stream.close()
        trace.check()
        url = _next_url(url, location)
        # What a server makes of its redirects is no secret of ours, and there may be a thousand of them with a thousand
        # parameters each: only those of the last one are hidden, and only the last ones told.
        options.secrets = secrets + url.secrets()
        trace.note(f"redirected to {url.shown()[:LONGEST_HOP]}")
        hops = f"{hops}{response.status} to {url.shown()[:LONGEST_HOP]}, then "[-MOST_HOPS:]
        if not follow:
            msg = f"{hops}no more: --follow {options.count('follow')} redirects are used up"
            raise Unhealthy(msg)
        follow -= 1
        if (response.status == 303 and method != "HEAD") or (
            response.status < 303 and method == "POST"
        ):
            method, body = "GET", b""


def open_url(options: Options, url: Url, same_origin: bool, trace: Trace) -> Steps[Stream]:
    """Connect to a URL; --unix-socket and --connect-to speak of the first origin only."""
    if same_origin and options.has("unix-socket"):
        stream = yield from open_stream([unix_address(options.data("unix-socket"))], trace)
    else:
        host, port = url.host, url.port
        if same_origin and options.has("connect-to"):
            host, port = split_host_port(options.text("connect-to"), port)
        stream = yield from connect_host(host, port, options.family(), trace)
    if url.scheme == "https":
        try:
            yield from start_tls(stream, url.host, options, b"")
        except BaseException:
            stream.close()
            raise
    return stream


def request_fields(
    options: Options, url: Url, first: Url, same_origin: bool
) -> list[tuple[str, bytes]]:
    """Return the header: ours, with those of the user in the place of ours of the same name."""
    given = options.pairs("header")
    if not same_origin:
        given = [pair for pair in given if lowered(pair[0]) not in AT_HOME_FIELDS]
    names = [lowered(name) for name, _ in given]
    fields = [
        ("Host", url.authority().encode()),
        ("User-Agent", options.data("user-agent") or USER_AGENT),
        ("Accept", b"*/*"),
    ]
    credentials = options.data("basic-auth") or percent_decode((first.userinfo or "").encode())
    if credentials and same_origin:
        encoded = base64_text(credentials)
        options.secrets.append(encoded)
        fields.append(("Authorization", b"Basic " + encoded.encode()))
    fields = [pair for pair in fields if lowered(pair[0]) not in names]
    return fields + given


def _next_url(url: Url, location: bytes) -> Url:
    if len(location) > LONGEST_LOCATION:
        msg = f"redirected to a Location of {len(location)} bytes, more than {LONGEST_LOCATION}"
        raise Unhealthy(msg)
    try:
        following = join_url(url, location)
    except Usage as error:
        msg = f"redirected to a bad Location: {error}"
        raise Unhealthy(msg) from None
    if url.scheme == "https" and following.scheme == "http":
        msg = f"redirected from https to {following.shown()}: not followed"
        raise Unhealthy(msg)
    return following


def note_response(response: Response, trace: Trace, with_location: bool) -> None:
    """Tell of a response what --verbose shows; without a Location that is told of otherwise."""
    if not trace.verbose:
        return
    trace.note(f"status {response.status} {_noted(response.reason)}")
    for name, value in response.fields:
        key = name.decode()  # a token, so ASCII
        if key != "location" or with_location:  # else it is told without what is secret in it
            trace.note(f"{key}: {'***' if is_secret_name(key) else _noted(value)}")


def _noted(value: bytes) -> str:
    """Return a value for a note, of which there may be many."""
    return visible_text(value) if len(value) <= LONGEST_NOTED else f"({len(value)} bytes)"


def _judge(options: Options, response: Response, method: str, stream: Stream) -> Steps[str]:
    """Return what was seen, or raise; the body is read only when an option asks for it."""
    status, allowed = str(response.status), options.text("status")
    length = body_length(response, method)
    if not any(low <= response.status <= high for low, high in parse_status(allowed)):
        msg = f"{status}, not in {allowed}"
        raise Unhealthy(msg)
    problem = _header_problem(options, response)
    if problem:
        msg = f"{status}, but {problem}"
        raise Unhealthy(msg)
    headers = ["header"] if options.has("expect-header") else []
    wanted = [name for name in BODY_OPTIONS if options.has(name)]
    if not wanted:
        return f"{status}, header as expected" if headers else status
    coding = body_coding(response)
    if coding:
        msg = f"{status}, but its body is encoded ({visible_text(coding)[:40]}): it cannot be read as text"
        raise Unhealthy(msg)
    stream.trace.phase = f"reading the body from {stream.peer}"
    limit = parse_size(options.text("max-body"), 1 << 40)
    body, cut = (yield from read_body(stream, length, limit)) if length else (bytearray(), False)
    mark = bytes(body[:2])
    problem = (
        "its body is encoded (UTF-16): it cannot be read as text"
        if mark in {b"\xff\xfe", b"\xfe\xff"}
        else _body_problem(options, body, cut, stream.trace)
    )
    if problem:
        if cut:
            problem += f" (only the first {limit} bytes were looked at, see --max-body)"
        msg = f"{status}, but {problem}"
        raise Unhealthy(msg)
    return f"{status}, {' and '.join(headers + wanted)} as expected"


def _header_problem(options: Options, response: Response) -> str:
    """Return which expected field is not there. Its value is all of the field's, or its beginning: 'text/html*'."""
    for name, value in options.pairs("expect-header"):
        key = lowered(name).encode()
        found = [given for field, given in response.fields if field == key]
        if value.endswith(b"*"):
            holds = any(given.startswith(value[:-1]) for given in found)
        else:
            holds = value in found
        if not found:
            return f"there is no header {name}"
        if not holds and is_secret_name(name):
            return f"header {name} is not what it should be"
        if not holds:
            seen = " and ".join([quoted(given, 100) for given in found[:4]])
            return f"header {name} is {seen}, not {quoted(value, 100)}"
    return ""


def _body_problem(options: Options, body: bytearray, cut: bool, trace: Trace) -> str:
    for text in options.every("contains"):
        if text not in body:
            return f"its {len(body)} bytes do not contain {quoted(text, 100)}"
    for text in options.every("not-contains"):
        if text in body:
            return f"its body contains {quoted(text, 100)}"
    if options.has("not-contains") and cut:
        return "its body is too long to say what it does not contain"
    for condition in options.every("json"):
        problem = json_mismatch(body, condition, trace)
        if problem:
            return problem
    return ""


HTTP = Check(
    "http",
    "GET a URL; passes when the status is in --status",
    (
        ("url", "bytes", "", "http://HOST:PORT/PATH"),
        PORT,
        ("status", "status", "200-399", "codes that pass: 200-299,401 or 2xx"),
        ("method", "token", "GET", "such as HEAD"),
        HEADER,
        ("body", "raw", "", "send this (as POST unless --method says else)"),
        ("expect-header", "pairs", "", "'NAME: VALUE' of the response; VALUE* begins so"),
        CONTAINS,
        ("not-contains", "texts", "", "text that must not be there, repeatable"),
        ("json", "condition", "", "PATH=VALUE, PATH>NUMBER and more; repeatable"),
        ("follow", "count", "0", "redirects to follow"),
        UNIX_SOCKET,
        USER_AGENT_OPTION,
        BASIC_AUTH,
        CONNECT_TO,
        MAX_BODY,
    )
    + IP_OPTIONS
    + TLS_OPTIONS,
    prepare_http,
    # The flags of chrisaxiom/docker-health-check: "-url URL -code 200 -headers k:v -verb GET".
    (
        ("U", "url"),
        ("H", "header"),
        ("V", "method"),
        ("C", "status"),
        ("headers", "header"),
        ("verb", "method"),
        ("code", "status"),
    ),
    schemes=(("http", "", ""), ("https", "", "")),
)
