"""`inv cluster`: a scheduler, workers that join it, and what they are at."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from console.table import table
from core.errors import EngineError, UsageError
from core.extras import Extra, require
from flow.cluster.join import keys_of, security_of
from flow.cluster.tls import Part, check_address
from flow.context import Context

PORT: Final = 8786
LISTEN: Final = f"tls://0.0.0.0:{PORT}"
WORDS: Final = "inv cluster keys | start | join ADDRESS | status [ADDRESS]"


@dataclass(frozen=True, kw_only=True)
class Stay:
    """How a scheduler or a worker is to run."""

    listen: str = ""
    """Of a scheduler: where it waits; ''. all addresses of this machine, with TLS."""
    name: str = ""
    """Of a worker: what it is called; '': after its machine."""


def manage_cluster(
    context: Context, words: Sequence[str], stay: Stay, *, say: Callable[[str], None]
) -> dict[str, Any]:
    """Do what ``cluster WORD`` says, and return what there is to show; ``say`` is told what cannot wait for the end.

    Raises UsageError, EngineError and StorageError.
    """
    match list(words):
        case ["keys"]:
            return make_keys(context)
        case ["start"]:
            return start(context, stay.listen or LISTEN, say=say)
        case ["join"] | ["join", _]:
            return join(context, _address(context, words[1:]), stay.name, say=say)
        case ["status"] | ["status", _]:
            return status(context, _address(context, words[1:]))
        case _:
            msg = f"'cluster {' '.join(words)}' is not known."
            raise UsageError(msg, next=WORDS)


def make_keys(context: Context) -> dict[str, Any]:
    """Make what is missing of the cluster's certificates."""
    keys = keys_of(context)
    made = keys.make()
    return {
        "directory": str(keys.directory),
        "made": made,
        "files": {part.value: [str(path) for path in keys.files(part)] for part in Part},
    }


def start(context: Context, listen: str, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Run a scheduler until it is told to end."""
    address = check_address(listen)
    require(Extra.CLUSTER, say=context.report.note)
    security = None
    if address.startswith("tls://"):
        keys = keys_of(context)
        if keys.make():
            say(f"certificates made: {keys.directory}")
            for part in (Part.WORKER, Part.CLIENT):
                say(f"  a {part} needs {', '.join(path.name for path in keys.files(part))} of them")
        security = keys.security(Part.SCHEDULER)
    from flow.cluster import serve  # noqa: PLC0415 - an extra
    from flow.cluster.dask_pool import PAGE  # noqa: PLC0415

    async def run() -> None:
        async with serve.scheduler(address, security=security) as scheduler:
            say(f"scheduler: {_reachable(scheduler.address)}")
            port = scheduler.http_server.port
            say(f"dashboard, for browsers of this machine: http://127.0.0.1:{port}{PAGE}")
            await serve.until_ended()

    serve.configure()
    asyncio.run(run())
    return {"ended": address}


def join(
    context: Context, address: str, name: str, *, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run a worker until it is told to end, or its scheduler has gone for good."""
    security = security_of(context, address, Part.WORKER)
    from flow.cluster import serve  # noqa: PLC0415 - an extra
    from flow.cluster.workshop import label, open_workshop, resources, shared  # noqa: PLC0415

    shared(context)
    swept = context.sweep()
    engine = context.engine.get()
    jobs = context.jobs
    has = resources(context, jobs)
    name = name or f"{socket.gethostname()}-{os.getpid()}"
    say(f"worker {name} of {address}: {jobs} steps at a time, engine {engine.name}")
    say(
        f"  memory: {has['memory'] / (1 << 30):.1f} GiB; label: {label(context)}; swept: {len(swept)}"
    )
    say(
        f"  clients must trust its key: FROMSCRATCH_TRUSTED_BUILDERS={context.builder_keys.own_line}"
    )

    async def run() -> bool:
        joined = serve.worker(
            address,
            partial(open_workshop, context.settings),
            name=name,
            resources=has,
            jobs=jobs,
            security=security,
            directory=str(context.cache_directory / "workers"),
        )
        async with joined as nanny:
            say(f"joined {address}")
            await serve.until_ended(gone=partial(serve.has_ended, nanny))
            return serve.has_ended(nanny)

    serve.configure()
    if asyncio.run(run()):
        msg = f"The scheduler at {address} has gone."
        raise EngineError(msg, next="inv cluster start, there; then let this worker join again")
    return {"left": address}


def status(context: Context, address: str) -> dict[str, Any]:
    """Ask a scheduler what it has."""
    security = security_of(context, address, Part.CLIENT)
    from flow.cluster import serve  # noqa: PLC0415 - an extra
    from flow.cluster.dask_pool import connect, dashboard  # noqa: PLC0415
    from flow.cluster.errand import TOPIC  # noqa: PLC0415
    from flow.cluster.workshop import label  # noqa: PLC0415

    serve.configure()
    with connect(address, security) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        running = client.processing()
        events = client.get_events(TOPIC)
        page = dashboard(client)
    names = {said["id"]: said["name"] for _, said in events if isinstance(said, Mapping)}
    mine = label(context)
    return {
        "address": address,
        "dashboard": page,
        "store": context.settings["store"],
        "label": mine,
        "workers": [
            {
                "name": str(worker["name"]),
                "jobs": int(worker["resources"].get("jobs", 0)),
                "memory": worker["resources"].get("memory", 0),
                "ours": mine in worker["resources"],
                "running": [names.get(key, key) for key in running.get(place, ())],
            }
            for place, worker in sorted(workers.items())
        ],
    }


def cluster_text(shown: Mapping[str, Any]) -> str:
    """Say for people what `manage_cluster` returned."""
    if "files" in shown:
        lines = [f"{'made' if shown['made'] else 'there already'}: {shown['directory']}"]
        lines += [f"{part}: {', '.join(files)}" for part, files in shown["files"].items()]
        lines.append("A client's certificate lets its holder run any code on every worker.")
        return "\n".join(lines)
    if "workers" not in shown:
        return "ended"
    rows = [
        (
            worker["name"],
            str(worker["jobs"]),
            f"{worker['memory'] / (1 << 30):.1f}",
            "yes" if worker["ours"] else "NO: another commit or machine",
            ", ".join(worker["running"]) or "-",
        )
        for worker in shown["workers"]
    ]
    head = ("worker", "jobs", "GiB", "runs our steps", "runs now")
    known = table(head, rows) if rows else "no worker has joined: inv cluster join"
    store = shown["store"] or "none is named here: --store URL"
    return f"{shown['address']}, dashboard {shown['dashboard']}\nstore: {store}\n\n{known}"


def _address(context: Context, words: Sequence[str]) -> str:
    named = words[0] if words else context.settings["cluster"]
    if not named:
        msg = "Which cluster?"
        raise UsageError(msg, next=f"name its scheduler: tls://HOST:{PORT}, or FROMSCRATCH_CLUSTER")
    return check_address(named)


def _reachable(address: str) -> str:
    """An address as others name it."""
    return address.replace("0.0.0.0", socket.gethostname())
