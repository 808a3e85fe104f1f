"""Has finished files judged and tried out on the workers of a cluster, and believes what trusted builders signed."""

import json
import time
from threading import Lock
from typing import Final, Self

from builders.memory import COMPILER, Load
from builders.timings import EventKind
from core.errors import StepError
from flow.cluster.dask_pool import DaskPool
from flow.cluster.errand import Errand, Reply
from verify.actions import Judgement, Proof, Trial
from verify.smoke import Smoke

LOAD: Final = Load(program=COMPILER, parallel=False)
"""More than reading a program, or running it, takes."""


class Proofs:
    """Implements `verify.results.Elsewhere`. Thread-safe; connects when it is first asked."""

    def __init__(self, pool: DaskPool) -> None:
        self.pool = pool
        self.lock = Lock()
        self.open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.open:
            self.pool.__exit__()

    def judge(self, judgement: Judgement) -> None:
        reply = self._ask(judgement)
        if self.pool.cache.get_action(judgement.key, kind=judgement.kind) is None:
            raise self._unbelieved(judgement, reply)

    def try_out(self, trial: Trial) -> Smoke:
        reply = self._ask(trial)
        if reply.value:  # no success, and so not remembered: nobody signs it
            return Smoke.from_dict(json.loads(reply.value))
        known = self.pool.cache.get_action(trial.key, kind=trial.kind)
        if known is None or not isinstance(known.get("how"), str):
            raise self._unbelieved(trial, reply)
        return Smoke(ran=True, ok=True, how=known["how"])

    def _ask(self, proof: Proof) -> Reply:
        with self.lock:
            if not self.open:
                self.pool.__enter__()
                self.open = True
        errand = Errand(
            kind=proof.kind,
            key=proof.key,
            name=f"{proof.kind.value} {proof.file[:12]}",
            data=proof.json(),
        )
        reply = self.pool.ask_for(errand, proof.inputs, LOAD)
        ended = time.monotonic()
        self.pool.builder.timings.add(
            errand.name,
            EventKind(proof.kind.value),
            began=max(ended - reply.seconds, self.pool.builder.timings.zero),
            ended=ended,
            facts={"key": proof.file, "worker": reply.worker},
            lane=reply.lane,
        )
        return reply

    def _unbelieved(self, proof: Proof, reply: Reply) -> StepError:
        return self.pool.unbelieved(f"the {proof.kind.value} of {proof.file[:12]}", reply)
