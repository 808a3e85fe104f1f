"""Hostile answers to every check of the frozen probe, plain and over TLS: never healthy by accident, always in time.

Each case takes the next check and the next file (`probe:mini`, `probe:full`; ``FROMSCRATCH_TEST_PROBE`` names another).
The answer is a right one that is changed in some stage, or a wrong one. Whether "healthy" can be right is known by how
it was made, or said by an oracle that reads it by other means. The deadline, CPU time, memory, the form of the output
and the secrets in it are judged in every case.
"""

import base64
import os
import random
import string
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.behaviour.servers import serving
from tests.built import Built
from tests.campaigns.campaign import Campaign, Case, NotRun, Run, Violation
from tests.campaigns.meter import Measured, Meter, metering
from tests.campaigns.probe_frozen import SANITIZER
from tests.campaigns.probe_servers import GRACE, OUTPUTS, Ended, check_output, speak
from tests.campaigns.talks.datagrams import DATAGRAMS, answering
from tests.campaigns.talks.hostile import MAKERS, hostile, judged, login, mail
from tests.campaigns.talks.talk import Talk
from tests.campaigns.talks.wire import (
    BEFORE_TLS,
    MAIL_GREETING,
    MYSQL_GREETING,
    PLAIN,
    Authority,
    Wire,
    offer_tls,
)
from tests.interpreters import GIVEN, Interpreter, command_of, speaks_tls

ATTACKED = (Interpreter.MINI, Interpreter.FULL)
CPU_GRACE = 1.0
"""Seconds of CPU time beyond the timeout: a busy machine does not stretch them much."""
ABOVE = 4096
"""kB of memory beyond the limit of the body."""
BODIES = {"1k": 1, "64k": 64, "1M": 1024, "2M": 2048}
"""kB of ``--max-body``."""
LONG_TLS = 0.6
"""Seconds for a talk whose TLS is changed or flooded: it may hang."""
SCHEMES = {"http": "http", "websocket": "ws"}
"""Of the checks whose target is a URL."""


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """A program; ``memory`` is whether its peak is judged, ``own`` whether without the pages of its file."""

    command: tuple[str, ...]
    tls: bool
    memory: bool = True
    own: bool = False


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What one case does."""

    talk: Talk
    wire: Wire = PLAIN
    path: Path | None = None
    """Of a Unix socket, in the place of TCP."""
    form: str = ""
    secret: str = ""
    switch: str = "--tls"

    def words(self, address: str) -> list[str]:
        """The command line, for a server at this address."""
        talk, wire = self.talk, self.wire
        words = [talk.check, address]
        if scheme := SCHEMES.get(talk.check):
            place = "app" if self.path else address
            words[1] = f"{scheme}{'s' if wire.secure else ''}://{place}/health"
        if talk.check == "dns":
            words[1:] = ["app.example", "--server", address]
        if self.path and talk.check != "unix":
            words[1:] = [*words[1:][: talk.check in SCHEMES], "--unix-socket", address]
        words += [self.switch] if wire.secure and talk.check not in SCHEMES else []
        words += [*wire.words, *talk.words, f"--timeout={round(talk.timeout * 1000)}ms"]
        return [*words, self.form] if self.form else words


def design(
    chance: random.Random, check: str, directory: Path, authority: Authority | None
) -> Attack:
    """One attack on a check; over TLS only where there is an authority."""
    secret = "".join(chance.choices(string.ascii_letters + string.digits, k=chance.randint(8, 20)))
    form = chance.choice(OUTPUTS)
    if authority and check not in (*DATAGRAMS, "unix") and chance.random() < 0.5:
        speaker, switch = BEFORE_TLS.get(check), "--tls"
        if check == "mysql":
            talk = judged(login(chance), MYSQL_GREETING)
        elif check == "smtp" and chance.random() < 0.5:
            speaker, switch = offer_tls, "--starttls"
            talk = judged(mail(chance), MAIL_GREETING)
        else:
            talk = hostile(chance, check, secret)
        wire = authority.wire(chance, speaker, floods=0.4)
        if not wire.whole:
            healthy = False if talk.healthy is False else None
            timeout = min(talk.timeout, LONG_TLS)
            talk = replace(
                talk, what=f"{talk.what}, changed below TLS", healthy=healthy, timeout=timeout
            )
        return Attack(talk=talk, wire=wire, form=form, secret=secret, switch=switch)
    talk = hostile(chance, check, secret)
    local = check == "unix" or (check not in DATAGRAMS and chance.random() < 0.15)
    return Attack(talk=talk, path=directory / "s" if local else None, form=form, secret=secret)


def carry_out(attack: Attack, program: Attacked, meter: Meter) -> str:
    """Run the probe against the server; return the outcome, or raise Violation."""
    talk = attack.talk
    with (
        answering(talk)
        if talk.check in DATAGRAMS
        else serving(attack.wire.dress(speak(talk)), path=attack.path)
    ) as server:
        words = [*program.command, *attack.words(server.address)]
        measured = meter.run(words, talk.timeout + GRACE)
    try:
        judge(attack, measured, program)
    except Violation as violation:
        told = f"{talk.what}: {measured!r:.2000}; words {words!r}; server {talk!r:.3000}"
        msg = f"{violation}: {told}"
        raise Violation(msg) from None
    if talk.healthy is not None:
        return "healthy" if talk.healthy else "unhealthy"
    return "perhaps right: healthy" if measured.code == 0 else "perhaps right: unhealthy"


def judge(attack: Attack, measured: Measured, program: Attacked) -> None:
    """Raise Violation for anything that must not be."""
    talk = attack.talk
    problem = ""
    if measured.late:
        problem = f"it did not end within {talk.timeout + GRACE:.2f} s"
    elif measured.errors:
        problem = "it wrote to its standard error"
    elif talk.healthy is not None and talk.healthy != (measured.code == 0):
        problem = (
            f"{'healthy' if talk.healthy else 'unhealthy'} by construction, but it said otherwise"
        )
    elif measured.seconds > talk.timeout + GRACE:
        problem = "too late"
    elif measured.cpu > talk.timeout + CPU_GRACE:
        problem = f"too much CPU time ({measured.cpu:.2f} s)"
    elif program.memory and highest(measured, program) > memory_of(talk.words):
        problem = f"too much memory ({highest(measured, program):.0f} kB)"
    elif any(form in measured.output for form in forms_of(attack)):
        problem = "it shows a secret"
    if problem:
        raise Violation(problem)
    check_output(Ended(measured.code, measured.output, measured.seconds), attack.form)


def highest(measured: Measured, program: Attacked) -> float:
    return measured.own if program.own else measured.resident


def memory_of(words: Sequence[str]) -> int:
    """kB that a run with these words may take."""
    if "--max-body" in words:
        return ABOVE + BODIES[words[words.index("--max-body") + 1]]
    body = {"--contains", "--not-contains", "--json"} & set(words)
    return ABOVE + (BODIES["1M"] if body else 0)


def forms_of(attack: Attack) -> list[bytes]:
    """The secret as it is, and as HTTP's credentials have it, as far as the probe knows of it."""
    words = " ".join(attack.talk.words)
    if not attack.secret or attack.secret not in words:
        return []
    encoded = base64.b64encode(f"user:{attack.secret}".encode())
    return (
        [attack.secret.encode(), encoded] if "--basic-auth" in words else [attack.secret.encode()]
    )


def programs(directory: Path) -> list[Attacked]:
    """What to attack. Raises NotRun when it cannot be built."""
    try:
        if os.environ.get(GIVEN):
            command = command_of(Interpreter.GIVEN, None)
            sane = SANITIZER not in Path(command[0]).read_bytes()
            return [
                Attacked(
                    command=tuple(command), tls=speaks_tls(Path(command[0])), memory=sane, own=True
                )
            ]
        frozen = Built.once(directory, *[it.product for it in ATTACKED])
    except AssertionError as error:
        raise NotRun(str(error)) from None
    return [Attacked(command=tuple(command_of(it, frozen)), tls=it.has_tls) for it in ATTACKED]


@contextmanager
def opened() -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="campaign.") as directory, metering() as meter:
        found = programs(Path(directory))
        if not meter.run([*found[0].command, "--version"], GRACE).resident:
            msg = "this process may not trace another"
            raise NotRun(msg)
        authority = Authority(Path(directory))
        checks = list(MAKERS)

        def run(case: Case) -> str:
            program = found[case.number % len(found)]
            check = checks[case.number // len(found) % len(checks)]
            attack = design(case.random, check, case.directory, authority if program.tls else None)
            return carry_out(attack, program, meter)

        yield run


CAMPAIGN = Campaign(
    name="probe",
    purpose="Hostile answers to every check of the probe: healthy only where that is right, in time, within 4 MB.",
    cases=10_000,
    open=opened,
    rooms=("probe",),
)
