"""`inv verify --release`: checks a release directory, or images of a registry."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path

from commands.key import public_keys
from commands.registry_options import registry_options
from core.errors import PublishError, UsageError
from flow.context import Context
from flow.judge import judge_file
from publish.check.directory import check_release
from publish.check.findings import CheckResult, ReleaseFinding
from publish.check.image import check_image
from publish.registry.pull import OtherVersionError, list_tags, pull
from publish.registry.reference import SCHEME, Reference, Repository
from publish.trust.comment import Wanted
from recipes.images import ImageRecipe, load_images


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a release, beyond its being good."""

    only: tuple[str, ...] = ()
    """Files of a directory that are looked at alone."""
    keys: int = 1
    """How many of the keys that were named must have signed."""
    wanted: Wanted = field(default_factory=Wanted)

    @classmethod
    def of(
        cls, *, only: str = "", keys: str = "", expect_version: str = "", not_older_than: str = ""
    ) -> "Question":
        """Read the flags of the command. Raises UsageError."""
        if keys and not (keys.isascii() and keys.isdecimal() and 1 <= int(keys) <= 16):
            msg = f"--keys must be a whole number from 1 to 16, not '{keys}'."
            raise UsageError(msg, next="inv verify --release DIR --key ONE.pub,OTHER.pub --keys 2")
        try:
            since = date.fromisoformat(not_older_than) if not_older_than else None
        except ValueError as error:
            msg = f"--not-older-than must be a date such as 2026-07-15, not '{not_older_than}'."
            raise UsageError(msg) from error
        return cls(
            only=tuple(word for word in only.split(",") if word),
            keys=int(keys or "1"),
            wanted=Wanted(version=expect_version, since=since),
        )


def check_releases(
    context: Context, where: str, *, insecure: bool = False, question: Question | None = None
) -> Sequence[CheckResult]:
    """Check a release directory, or images of a registry; never raises for what is in them.

    ``oci://HOST/REPO/NAME:TAG`` (or ``@sha256:…``) is one image, ``oci://HOST/REPO/NAME`` all its tags,
    ``oci://HOST/REPO`` every image that the recipes know of. Raises UsageError or PublishError when there is nothing
    to check.
    """
    question = question or Question()
    judge, keys = partial(judge_file, context), public_keys(context)
    if question.keys > max(len(keys), 1):
        msg = f"--keys {question.keys} needs as many public keys; {len(keys)} are named."
        raise UsageError(msg, next="name them: --key ONE.pub,OTHER.pub")
    if not where.startswith(SCHEME):
        if not Path(where).is_dir():
            msg = f"'{where}' is no directory."
            raise UsageError(msg, next="name a release directory, or oci://HOST/REPO/NAME:TAG")
        checked = check_release(
            Path(where),
            public_key=keys[0] if keys else None,
            further_keys=keys[1:],
            keys=question.keys,
            only=question.only,
            wanted=question.wanted,
            judge=judge,
        )
        return [checked]
    if question.only or question.keys > 1:
        msg = "--only and --keys are about a release directory."
        raise UsageError(msg, next="name the image: oci://HOST/REPO/NAME:TAG")
    found = []
    failed: list[PublishError] = []
    references = _references(context, where, insecure=insecure)
    for reference in references:
        with context.cache.scratch() as scratch:
            progress = context.report.progress("copy")
            try:
                layout, attached = pull(
                    reference,
                    scratch / "image",
                    options=registry_options(context),
                    progress=progress,
                )
            except PublishError as error:
                # One tag that is wrong hides none of the others.
                if not isinstance(error, OtherVersionError):
                    failed.append(error)
                found.append(_unreadable(reference, error))
                continue
            result = check_image(
                layout,
                attached,
                public_key=keys[0] if keys else None,
                wanted=question.wanted,
                judge=judge,
            )
            found.append(_as_asked(result, reference, layout.tag, _images(context)))
    if len(failed) == len(references):
        raise failed[0]
    return found


def _unreadable(reference: Reference, error: PublishError) -> CheckResult:
    """What is said of a tag whose image cannot be looked at."""
    label = f"{reference.repository.name}:{reference.word}"
    why = f" ({error.why})" if error.why else ""
    finding = ReleaseFinding(path=label, what=error.what + why)
    return CheckResult(
        label=label, findings=(finding,), files=(), signer="", pinned=False, notes=()
    )


def _as_asked(
    result: CheckResult, reference: Reference, held: str, images: Sequence[ImageRecipe]
) -> CheckResult:
    """Hold what a tag leads to against what the tag promises; ``held`` is the version of the image."""
    word = reference.word
    if reference.by_digest or word == held:
        return result
    label = f"{reference.repository.name}:{word}"
    promised = [
        (image, packed)
        for image in images
        if image.name == reference.repository.name
        for packed in (True, False)
        if word in image.moved(packed=packed)
    ]
    result = replace(result, label=f"{label} (holds {held})")
    if not promised:
        note = f"the tag {word} is none that inv publish makes: it holds {held}"
        return replace(result, notes=(*result.notes, note))
    if any(image.is_tag(held, packed=packed) for image, packed in promised):
        return result
    wanted = " or ".join(image.example(packed=packed) for image, packed in promised)
    what = f"the tag {word} should hold {wanted}, and holds {held}"
    finding = ReleaseFinding(path=label, what=what)
    return replace(result, findings=(*result.findings, finding))


def _images(context: Context) -> tuple[ImageRecipe, ...]:
    return load_images(context.recipes, context.recipes_directory)


def _references(context: Context, where: str, *, insecure: bool) -> list[Reference]:
    last = where.rpartition("/")[2]
    if (":" in last.partition("@")[0] and where.count("/") > 2) or "@" in last:
        return [Reference.parse(where, insecure=insecure)]
    repository = Repository.parse(where, insecure=insecure)
    names = dict.fromkeys(image.name for image in _images(context))
    if repository.path.rpartition("/")[2] in names:
        repositories = [repository]
    else:
        repositories = [repository.joined(name) for name in names]
    found = [
        Reference(repository=repository, word=tag)
        for repository in repositories
        for tag in list_tags(repository, options=registry_options(context))
    ]
    if not found:
        msg = f"There is no image of ours at {where}."
        raise PublishError(msg, next="inv publish --to DEST puts them there")
    return found
