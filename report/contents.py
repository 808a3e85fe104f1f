"""What fills the plain files, out of the records beside them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from publish.manifest import Artifact
from records.fill import Fill as Record
from records.fill import Library, ObjectFile, read_fill
from report.data import Fill, Piece


def contents(directory: Path, artifacts: Iterable[Artifact]) -> Iterator[Fill]:
    """Yield what is recorded of plain files. Raises RecipeError for a damaged record."""
    for artifact in artifacts:
        if not artifact.packed:
            record = read_fill(directory, Path(artifact.path).name, artifact.sha256)
            if record:
                yield _fill(record, artifact)


def _fill(record: Record, artifact: Artifact) -> Fill:
    return Fill(
        product=artifact.product,
        release=artifact.release,
        target=artifact.target.value,
        size=record.size,
        libraries=tuple(_library(it) for it in record.libraries),
        unowned=tuple(Piece(name=it.name, size=it.size, note=it.why) for it in record.unowned),
        checks=tuple(Piece(name=it.name, size=it.size) for it in record.checks),
        checks_note=record.checks_note,
    )


def _library(library: Library) -> Piece:
    note = f"of {library.recipe}" if library.recipe else "made with the program"
    pieces = tuple(_object(it) for it in library.objects)
    return Piece(name=library.name, size=library.size, note=note, pieces=pieces)


def _object(object_: ObjectFile) -> Piece:
    parts = tuple(
        Piece(name=it.name, size=it.size, note=it.kind + (", a guess" if it.guessed else ""))
        for it in object_.parts
    )
    return Piece(name=object_.name, size=object_.size, pieces=parts)
