"""What is judged: files of this machine, or of images, each with what is known of it from outside."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from core.target import Target
from verify.inputs.archive import Scratch
from verify.inputs.tree import Tree
from verify.loader import Loader
from verify.rights import Rights


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One file to judge."""

    path: Path
    label: str = ""
    """What it is called when that is not its path."""
    rights: Rights | None = None
    """None: those of the file of this machine."""
    where: str = ""
    """Its absolute path in the root that it is in."""
    problem: str = ""
    """Why its bytes could not be had; empty: they could."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Files that belong together: those of one image, or those that a user named."""

    subjects: tuple[Subject, ...]
    image: str = ""
    """What the image is called; empty: it is none."""
    platform: str = ""
    """``linux/arm64``; empty where nothing says it."""
    loader: Loader | None = None
    """Knows their root."""
    others: int = 0
    """Files that are none of ELF, and were passed over."""
    notes: tuple[str, ...] = field(default=())

    @property
    def target(self) -> Target | None:
        """The platform, when we know it."""
        return Target(self.platform) if self.platform in list(Target) else None


def tree_batch(
    tree: Tree, scratch: Scratch, *, name: str, image: str = "", platform: str = ""
) -> Batch:
    """Return the ELF files of a tree, and what could not be taken out of it."""
    subjects: list[Subject] = []
    seen: set[Path] = set()
    others = 0
    before = f"{name}@{platform}" if platform else name
    for where, file in tree.files():
        if file.elf is None and not file.problem:
            others += 1
        elif file.elf is None or file.elf not in seen:
            seen |= {file.elf} if file.elf else set()
            subjects.append(
                Subject(
                    path=file.elf or Path(where),
                    label=f"{before}:{where}",
                    rights=Rights.of(file.mode, file.capability),
                    where=where,
                    problem=file.problem,
                )
            )
    subjects += (
        Subject(path=Path(name), label=before, problem=problem)
        for problem in dict.fromkeys(scratch.problems)
    )
    return Batch(
        subjects=tuple(subjects),
        image=image,
        platform=platform,
        loader=Loader(root=tree),
        others=others,
    )


def unreadable(name: str, reasons: Iterable[str]) -> Batch:
    """Return a batch for what could not be looked into at all."""
    why = "; ".join(reason for reason in reasons if reason)
    return Batch(subjects=(Subject(path=Path(name), label=name, problem=why),))
