"""How a client or a worker finds its cluster: by the settings. Dask is installed and loaded when it is first needed."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_config_path

from builders.build import StepRunner
from core.extras import Extra, require
from flow.cluster.tls import Keys, Part, check_address
from flow.context import Context
from verify.results import Elsewhere

if TYPE_CHECKING:
    from flow.cluster.dask_pool import DaskPool


def open_pool(context: Context, builder: StepRunner) -> "DaskPool":
    """Return a pool of the cluster that the settings name. Raises UsageError and EngineError; nothing is asked yet."""
    address = check_address(context.settings["cluster"])
    security = security_of(context, address, Part.CLIENT)
    from flow.cluster.dask_pool import DaskPool  # noqa: PLC0415 - an extra
    from flow.cluster.serve import configure  # noqa: PLC0415
    from flow.cluster.workshop import label, shared  # noqa: PLC0415

    configure()
    cache = shared(context)
    return DaskPool(builder, cache, address=address, label=label(context), security=security)


def open_proofs(context: Context) -> AbstractContextManager[Elsewhere]:
    """Return what has things judged and tried out on the cluster; it is asked nothing before the first of them."""
    pool = open_pool(context, context.builder())
    from flow.cluster.proofs import Proofs  # noqa: PLC0415 - an extra

    return Proofs(pool)


def keys_of(context: Context) -> Keys:
    """Where the certificates of the cluster are."""
    named = context.settings["cluster_keys"]
    usual = user_config_path("fromscratch") / "cluster"
    return Keys(directory=Path(named).expanduser().absolute() if named else usual)


def security_of(context: Context, address: str, part: Part) -> Any:
    """Return what a part of a cluster shows, and asks of others; None without TLS. Dask is there then."""
    require(Extra.CLUSTER, say=context.report.note)
    return keys_of(context).security(part) if address.startswith("tls://") else None
