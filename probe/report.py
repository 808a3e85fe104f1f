"""What the run says: one line or JSON object, no more than Docker keeps, no credentials."""

from __future__ import annotations

MOST_OUTPUT_BYTES = (
    4096  # of which Docker keeps as many, and Podman 500: so the verdict comes first
)
LONGEST_TARGET = 160
LONGEST_SEEN = 400
MOST_ROUNDS = 8  # of hiding: a server may name a thousand secrets that spell each other
SHORTEST_MASKED = 3  # replacing every "1" would tell more than it hides
INVISIBLE = (
    "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e"
    "\u2066\u2067\u2068\u2069\ufeff"
)


class Outcome:
    """One check and how it ended."""

    def __init__(self, check: str, target: str) -> None:
        self.check = check
        self.target = target
        self.healthy = False
        self.seen = ""
        self.seconds = 0.0
        self.attempts = 1
        self.notes: list[str] = []


class Mask:
    """Makes texts ready to be shown: escaped, cut, and with *** for every secret in them.

    That holds for what is shown in the end: an escape of ours, or where a text was cut, may spell a secret too.
    """

    def __init__(self, secrets: list[str]) -> None:
        lengths = {
            (-len(secret), secret)
            for secret in secrets
            if len(secret) >= SHORTEST_MASKED or secret.endswith("@")
        }
        # What the mask itself spells cannot be hidden by it.
        self.secrets = [
            secret for _, secret in sorted(lengths) if secret.strip("*") not in {"", "@"}
        ]

    def hide(self, text: str) -> str:
        """Return a text with *** for every secret. Only secrets with stars in them can be spelled by that, in turn."""
        for _ in range(MOST_ROUNDS):
            before = text
            for secret in self.secrets:
                if secret in text:
                    text = text.replace(secret, "***@" if secret.endswith("@") else "***")
            if text == before:
                return text
        return "***"

    def shown(self, text: str, limit: int) -> str:
        """Return a text for people, of about this length at most."""
        return self.hide(clipped(printable(self.hide(text)), limit))

    def quoted(self, text: str, limit: int) -> str:
        """Return a text as a JSON string."""
        text = self.shown(text, limit)
        if self.hide(json_quoted(text)[1:-1]) != json_quoted(text)[1:-1]:
            # An escape of JSON spells a secret, and cannot be broken: there must be none.
            pieces = [piece if len(json_quoted(piece)) == 3 else "***" for piece in text]
            text = self.hide("".join(pieces))
        return json_quoted(text)


def printable(text: str) -> str:
    """Escape what a terminal takes for more than text: controls, invisible characters."""
    data = text.encode()
    if not data or (min(data) >= 0x20 and max(data) < 0x7F):
        return text
    pieces = []
    for character in text:
        code = ord(character)
        if character in "\r\n\t":
            pieces.append({"\r": "\\r", "\n": "\\n", "\t": "\\t"}[character])
        elif code < 32 or 127 <= code < 0xA0:
            pieces.append(f"\\x{code:02x}")
        elif character in INVISIBLE or 0xD800 <= code <= 0xF8FF or code >= 0xE0000:
            pieces.append(f"\\u{code:04x}")
        else:
            pieces.append(character)
    return "".join(pieces)


def clipped(text: str, limit: int) -> str:
    """Cut a text in its middle: its beginning and its end say the most."""
    if len(text) <= limit:
        return text
    tail = (limit - 3) // 3
    return f"{text[: limit - 3 - tail]}...{text[len(text) - tail :]}"


def duration_text(seconds: float) -> str:
    """Write a duration: '0.4 ms', '3 ms', '1.25 s'."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 0.001:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds * 1000:.1f} ms"


def verdict_line(outcomes: list[Outcome], mask: Mask) -> str:
    """Return the line for people."""
    failed = [outcome for outcome in outcomes if not outcome.healthy]
    passed = [outcome for outcome in outcomes if outcome.healthy]
    texts = [_outcome_text(outcome, mask) for outcome in failed] + [
        _outcome_text(outcome, mask) if not failed else f"passed: {_outcome_text(outcome, mask)}"
        for outcome in passed
    ]
    verdict = "unhealthy: " if failed else "healthy: "
    if len(outcomes) > 1:
        verdict += f"{len(passed)} of {len(outcomes)} passed: "
    return verdict + "; ".join(texts)


def _outcome_text(outcome: Outcome, mask: Mask) -> str:
    target = mask.shown(outcome.target, LONGEST_TARGET)
    seen = mask.shown(outcome.seen, LONGEST_SEEN)
    times = f" (attempt {outcome.attempts})" if outcome.attempts > 1 else ""
    joint = " in" if outcome.healthy else ","
    return f"{outcome.check} {target}: {seen}{times}{joint} {duration_text(outcome.seconds)}"


def verbose_text(outcomes: list[Outcome], mask: Mask) -> str:
    """Return the line for people, and below it what happened on the way."""
    lines = [verdict_line(outcomes, mask)]
    for outcome in outcomes:
        for note in outcome.notes:
            lines.append(f"  {outcome.check}: {mask.shown(note, 200)}")
    return "\n".join(lines)


def json_report(outcomes: list[Outcome], mask: Mask, error: str) -> str:
    """Return the object for programs; its texts are cut until it fits."""
    healthy = not error and all(outcome.healthy for outcome in outcomes)
    limit = LONGEST_SEEN
    while True:
        checks = [_outcome_json(outcome, mask, limit) for outcome in outcomes]
        verdict = '"version": 1, "healthy": ' + _json_truth(healthy)
        if error:
            verdict += ', "error": ' + mask.quoted(error, limit)
        text = "{" + verdict + ', "checks": [' + ", ".join(checks) + "]}"
        if len(text) < MOST_OUTPUT_BYTES or limit < 8:
            return text
        limit = limit * 2 // 3


def _outcome_json(outcome: Outcome, mask: Mask, limit: int) -> str:
    target = mask.quoted(outcome.target, limit)
    seen = mask.quoted(outcome.seen, limit)
    healthy = _json_truth(outcome.healthy)
    head = f'"check": "{outcome.check}", "target": {target}, "healthy": {healthy}, "seen": {seen}'
    tail = f'"seconds": {outcome.seconds:.4f}, "attempts": {outcome.attempts}'
    return "{" + head + ", " + tail + "}"


def _json_truth(value: bool) -> str:
    return "true" if value else "false"


def json_quoted(text: str) -> str:
    """Write a JSON string in ASCII."""
    pieces = ['"']
    for character in text:
        code = ord(character)
        if character in '"\\':
            pieces.append("\\" + character)
        elif 32 <= code < 127:
            pieces.append(character)
        elif code < 0x10000:
            pieces.append(f"\\u{code:04x}")
        else:
            pieces.append(f"\\u{0xD7C0 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}")
    return "".join(pieces) + '"'


def output_bytes(text: str) -> bytes:
    """Return the text as bytes with its line end, cut to what is kept."""
    data = text.encode()
    if len(data) >= MOST_OUTPUT_BYTES:
        end = MOST_OUTPUT_BYTES - 4
        while data[end] & 0xC0 == 0x80:  # not within a character
            end -= 1
        data = data[:end] + b"..."
    return data + b"\n"
