"""The curls as rivals in a measurement, and HTTPS by the anchors inside beside the way that parses a PEM bundle.

Believed: the anchors inside are exchanged for those of the server in a copy of the file; in the bundle the server's
stand behind all others. Refused: the file as it is, beside the same file with the bundle that its anchors were made of.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import certifi

from bench.anchors import trusting
from bench.bars import CURLS
from bench.peers import Rival

NOT_BUILT = "it is not built"
PEM = "curl:https, PEM bundle"


def curls(
    urls: Mapping[str, str], files: Mapping[tuple[str, bool], Path], directory: Path
) -> Iterator[Rival]:
    """Every curl that is built, and why another is not."""
    for product in CURLS:
        file = files.get((product, False))
        if file is None:
            yield Rival(name=product, why=NOT_BUILT)
        elif product == "curl:https":
            yield with_tls(product, file, urls, directory, packed=files.get((product, True)))
            yield with_bundle(file, urls, directory)
        else:
            get = (str(file), "-sf", urls["http"])
            yield Rival(name=product, http=get, plain=file, packed=files.get((product, True)))


def with_tls(
    name: str, file: Path, urls: Mapping[str, str], directory: Path, *, packed: Path | None = None
) -> Rival:
    """A curl that trusts what is inside."""
    copy = directory / name.replace(":", "-").replace("/", "-")
    trusted = trusting(file, Path(urls["ca"]), copy)
    return Rival(
        name=name,
        http=(str(file), "-sf", urls["http"]),
        https=(str(file), "-sf", "--cacert", urls["ca"], urls["https"]),
        inside=(str(copy), "-s", urls["https"]) if trusted else (),
        refused=(str(file), "-sS", urls["https"]),
        code=60,
        says="certificate",
        plain=file,
        packed=packed,
    )


def with_bundle(file: Path, urls: Mapping[str, str], directory: Path) -> Rival:
    """The same curl, told to read Mozilla's authorities from a file."""
    every, bundle = Path(certifi.where()), directory / "bundle.pem"
    bundle.write_bytes(every.read_bytes() + Path(urls["ca"]).read_bytes())
    return Rival(
        name=PEM,
        inside=(str(file), "-s", "--cacert", str(bundle), urls["https"]),
        refused=(str(file), "-sS", "--cacert", str(every), urls["https"]),
        code=60,
        says="certificate",
    )
