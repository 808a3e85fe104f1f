"""The critical path: the chain of things that waited for each other, and that ended last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something that was done, what had to be there before it could begin, and who did it."""

    name: str
    lane: str
    began: float
    ended: float
    needs: Sequence[str] = ()
    """Names of tasks; such as were not done in this run are of no matter."""


def critical_path(tasks: Sequence[Task]) -> frozenset[str]:
    """Return the names of the tasks on it, going back from the last one to what each waited for longest.

    That is what it needs, or what kept its worker busy.
    """
    by_name: Mapping[str, Task] = {task.name: task for task in tasks}
    found: set[str] = set()
    here = max(tasks, key=lambda task: task.ended, default=None)
    while here is not None and here.name not in found:
        found.add(here.name)
        before = [by_name[name] for name in here.needs if name in by_name]
        before += [it for it in tasks if it.lane == here.lane and it.ended <= here.began]
        waited = [it for it in before if it.name not in found]
        here = max(waited, key=lambda task: task.ended, default=None)
    return frozenset(found)
