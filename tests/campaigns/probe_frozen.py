"""The same hostile servers against the frozen files: an interpreter in C reads what they send, and so may break in C.

The cases take the files in turn. ``FROMSCRATCH_TEST_PROBE`` names one to attack alone: what a sanitizer finds goes
to standard error, and that is a violation. Where a file and a check have TLS, half of the talks go over it; some of
these are changed below it, where certificates and handshakes are.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.built import Built
from tests.campaigns.campaign import Campaign, Case, NotRun, Run
from tests.campaigns.probe_servers import Program, Runner, attack
from tests.campaigns.talks.talk import Talk
from tests.campaigns.talks.wire import CHECKS_OVER_TLS, PLAIN, Authority, Wire
from tests.interpreters import FROZEN, GIVEN, PROBES, Interpreter, command_of, speaks_tls

FROZEN_MEMORY = 32 << 20
SANITIZER = b"__asan_init"
"""A name in every file that has an address sanitizer, which wants terabytes of addresses."""


def programs(directory: Path) -> list[Program]:
    """What to attack; built in the user's own cache when no file is named. Raises NotRun when that is not to be."""
    try:
        if os.environ.get(GIVEN):
            commands = [command_of(Interpreter.GIVEN, None)]
        else:
            frozen = Built.once(directory, *PROBES)
            commands = [command_of(interpreter, frozen) for interpreter in FROZEN]
    except AssertionError as error:
        raise NotRun(str(error)) from None
    return [
        Program(
            command=(file,), memory=0 if SANITIZER in Path(file).read_bytes() else FROZEN_MEMORY
        )
        for (file,) in commands
    ]


@contextmanager
def opened() -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="campaign.") as directory:
        found = programs(Path(directory))
        authority = Authority(Path(directory))
        secure = {program: speaks_tls(Path(program.command[0])) for program in found}

        def choose(case: Case, talk: Talk) -> tuple[Runner, Wire]:
            program = found[case.number % len(found)]
            over_tls = secure[program] and talk.check in CHECKS_OVER_TLS
            wire = authority.wire(case.random) if over_tls and case.random.random() < 0.5 else PLAIN
            return program, wire

        with attack(choose) as run:
            yield run


CAMPAIGN = Campaign(
    name="probe-frozen",
    purpose="Hostile servers against the frozen files: as for the source, within 32 MiB of addresses.",
    cases=6_000,
    open=opened,
    rooms=("probe",),
)
