"""Where this run's results are shared: ``--store`` says it, and what it is follows from the scheme."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from builders.store import Store
from core.cancel import CancelToken
from core.errors import UsageError
from core.retry import RetryPolicy
from core.suggest import suggestion

REGISTRY, FOLDER = "oci", "file"
BUCKETS = ("s3", "gs")
SCHEMES = (REGISTRY, *BUCKETS, FOLDER)

KNOWN = "oci://HOST/REPO, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or file:///DIRECTORY"

PATIENCE = RetryPolicy(tries=3, futile_tries=2, connect=5.0, read=60.0)
"""A build goes on without its store, so it is not waited for long."""


def open_store(
    url: str,
    *,
    scratch: Path,
    read_only: bool = False,
    ca_file: str = "",
    cancel: CancelToken | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Store:
    """Return the store at a URL; nothing is asked of it yet.

    ``scratch`` is a directory of the cache for what travels; ``say`` is told when something has to be installed.
    Raises UsageError for what is no store, EngineError when what a bucket needs cannot be installed.
    """
    scheme, colons, rest = url.partition("://")
    if not colons or scheme not in SCHEMES:
        msg = f"'{scheme}' is no store.{suggestion(scheme, SCHEMES)}"
        raise UsageError(msg, next=f"--store takes {KNOWN}")
    if not rest.strip("/"):
        msg = f"'{scheme}://' leads nowhere."
        raise UsageError(msg, next=f"--store takes {KNOWN}")
    cancel = CancelToken() if cancel is None else cancel  # one that is not set is false
    if scheme == REGISTRY:
        return _registry(url, scratch, read_only=read_only, ca_file=ca_file, cancel=cancel)
    from builders.sources.objects import Folder, ObjectStore  # noqa: PLC0415

    if scheme == FOLDER:
        if not rest.startswith("/"):
            msg = f"'{url}' names no directory of this machine."
            raise UsageError(msg, next=f"file:///{rest}")
        folder = Folder(root=Path(rest))
        if not read_only:
            folder.sweep()
        return ObjectStore(objects=folder, scratch=scratch)
    from builders.sources.bucket import Bucket  # noqa: PLC0415
    from core.extras import Extra, require  # noqa: PLC0415

    require(Extra.STORE, say=say)
    return ObjectStore(objects=Bucket.open(url, cancel=cancel), scratch=scratch)


def _registry(
    url: str, scratch: Path, *, read_only: bool, ca_file: str, cancel: CancelToken
) -> Store:
    from publish.registry.auth import Purpose  # noqa: PLC0415 - loads an HTTP client
    from publish.registry.client import DEFAULTS  # noqa: PLC0415
    from publish.registry.reference import Repository  # noqa: PLC0415
    from publish.registry.store import RegistryStore  # noqa: PLC0415

    repository = Repository.parse(url)
    if not repository.path:
        msg = f"'{url}' names a registry, but no repository of it."
        raise UsageError(msg, next=f"{url.rstrip('/')}/fromscratch-cache")
    return RegistryStore(
        repository=repository,
        scratch=scratch,
        purpose=Purpose.READ if read_only else Purpose.WRITE,
        options=replace(DEFAULTS, policy=PATIENCE, cancel=cancel, ca_file=ca_file),
    )
