"""`inv verify --release`: checks a release directory, or images of a registry."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from commands.key import public_key
from core.errors import PublishError, UsageError
from flow.context import Context
from flow.judge import judge_file
from publish.check.directory import check_release
from publish.check.findings import CheckResult
from publish.check.image import check_image
from publish.registry.client import DEFAULTS, RegistryOptions
from publish.registry.pull import list_tags, pull
from publish.registry.reference import SCHEME, Reference, Repository
from recipes.images import load_images


def check_releases(
    context: Context, where: str, *, insecure: bool = False
) -> Sequence[CheckResult]:
    """Check a release directory, or images of a registry; never raises for what is in them.

    ``oci://HOST/REPO/NAME:TAG`` (or ``@sha256:…``) is one image, ``oci://HOST/REPO/NAME`` all its tags,
    ``oci://HOST/REPO`` every image that the recipes know of. Raises UsageError or PublishError when there is nothing
    to check.
    """
    judge, key = partial(judge_file, context), public_key(context)
    if not where.startswith(SCHEME):
        if not Path(where).is_dir():
            msg = f"'{where}' is no directory."
            raise UsageError(msg, next="name a release directory, or oci://HOST/REPO/NAME:TAG")
        return [check_release(Path(where), public_key=key, judge=judge)]
    checked = []
    for reference in _references(context, where, insecure=insecure):
        with context.cache.scratch() as scratch:
            progress = context.report.progress("copy")
            layout, attached = pull(
                reference, scratch / "image", options=_options(context), progress=progress
            )
            checked.append(check_image(layout, attached, public_key=key, judge=judge))
    return checked


def _options(context: Context) -> RegistryOptions:
    return replace(DEFAULTS, cancel=context.cancel)


def _references(context: Context, where: str, *, insecure: bool) -> list[Reference]:
    last = where.rpartition("/")[2]
    if (":" in last.partition("@")[0] and where.count("/") > 2) or "@" in last:
        return [Reference.parse(where, insecure=insecure)]
    repository = Repository.parse(where, insecure=insecure)
    names = dict.fromkeys(
        image.name for image in load_images(context.recipes, context.recipes_directory)
    )
    if repository.path.rpartition("/")[2] in names:
        repositories = [repository]
    else:
        repositories = [repository.joined(name) for name in names]
    found = [
        Reference(repository=repository, word=tag)
        for repository in repositories
        for tag in list_tags(repository, options=_options(context))
    ]
    if not found:
        msg = f"There is no image of ours at {where}."
        raise PublishError(msg, next="inv publish --to DEST puts them there")
    return found
