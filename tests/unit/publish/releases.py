"""A small world with two proven files, and releases made of them; only the licence texts are made up."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from core.files import hash_file
from core.signing import PublicKey, SecretKey
from core.target import Target
from publish.check.directory import check_release
from publish.check.findings import CheckResult
from publish.manifest import Artifact, Input, Seconds, VerdictSummary
from publish.oci.archive import archive_name, write_archive
from publish.oci.image import Image, write_layout
from publish.oci.layer import LayerFile
from publish.oci.layout import Layout
from publish.release.image import PublishedImage
from publish.release.sums import write_sums
from publish.release.write import WrittenRelease, write_release
from publish.trust.components import Component, Role, Wheel, component_of
from publish.trust.provenance import BuildPlatform
from publish.trust.published import PublishedFile, published_file
from publish.trust.revision import Revision
from recipes.images import ImageFile, ImageRecipe
from recipes.model import Recipe
from tests.fakes import HELLO, World
from tests.fixtures.make_elf import DIRECTORY
from verify.rules import verify_file
from verify.smoke import Smoke
from verify.verdict import Policy, Verdict

MUSL = """
[bill]
cpe = "cpe:2.3:a:musl-libc:musl:{version}:*:*:*:*:*:*:*"
[[bill.carries]]
name = "arithmetic"
package = "compiler"
licence = "MIT"
licence_files = ["LICENSE"]
"""

DATA = """
[bill]
licence_files = ["notes/TERMS"]
"""

TLS = """needs = ["musl"]

[bill]
purl = "pkg:github/tls/tls@v{version}"
chosen = "Apache-2.0"
"""

WHEELS = (
    Wheel(name="compiler", version="7.1", sha256=("a" * 64, "b" * 64)),
    Wheel(name="ninja", version="1.0", sha256=("c" * 64,)),
)

TEXTS = {"data": {"notes/TERMS": b"take it\n", "LICENSE": b"not this one\n"}}
USUAL = {"COPYING": b"as you like\n", "src/LICENSE": b"of a component\n", "README": b"read\n"}


@dataclass(frozen=True)
class Text:
    """A file of a made-up source."""

    name: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self) -> bytes:
        return self.data


@dataclass
class Bench:
    """Where releases are made."""

    directory: Path
    key: SecretKey | None = field(default_factory=SecretKey.generate)
    texts: dict[str, dict[str, bytes]] = field(
        default_factory=lambda: {**TEXTS, "arithmetic": {"LICENSE": b"free\n"}}
    )
    opened: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, directory: Path) -> "Bench":
        world = World(directory / "world")
        world.add("musl", "library", MUSL)
        world.add("tls", "library", TLS)
        world.edit("tls", 'licence = "MIT"', 'licence = "Apache-2.0 OR GPL-2.0-or-later"')
        world.add("data", "library", DATA)
        world.edit("data", 'licence = "MIT"', 'licence = "MPL-2.0"')
        world.add("upx", "tool", 'needs = ["musl"]\n')
        world.add("make", "tool", '[bill]\ncpe = "cpe:2.3:a:gnu:make:{version}:*:*:*:*:*:*:*"\n')
        world.add("hello", "program", HELLO, versions=("2.0", "1.0"))
        for name in ("musl", "tls", "data", "upx", "make", "hello"):
            # The strict schema looks long at long URLs.
            url = f"file://{world.archive(name, '2.0' if name == 'hello' else '1.0')}"
            world.edit(name, url, f"https://{name}.invalid")
        files = directory / "artifacts" / "files"
        files.mkdir(parents=True)
        (files / "hello-secure-2.0-linux-amd64").write_bytes(
            (DIRECTORY / "good-amd64").read_bytes()
        )
        (files / "hello-secure-2.0-linux-amd64.upx").write_bytes(
            (DIRECTORY / "packed").read_bytes()
        )
        return cls(directory=directory)

    @property
    def world(self) -> World:
        return World(self.directory / "world")

    @property
    def recipes(self) -> dict[str, Recipe]:
        return self.world.load()

    @property
    def artifacts(self) -> Path:
        return self.directory / "artifacts"

    @property
    def release(self) -> Path:
        return self.directory / "release"

    def entry(self, *, packed: bool = False, **changes: Any) -> Artifact:
        """A file of the manifest."""
        path = f"files/hello-secure-2.0-linux-amd64{'.upx' if packed else ''}"
        names = ("data", "hello", "make", "musl", "tls", *(("upx",) if packed else ()))
        recipes = self.recipes
        inputs = tuple(
            Input(
                name=name,
                version=recipes[name].releases[0].version,
                sha256=recipes[name].releases[0].archive.sha256,
                url=f"https://user:word@mirror.invalid/{name}?token=x",
                licence=recipes[name].releases[0].licence,
            )
            for name in names
        )
        artifact = Artifact(
            product="hello:secure",
            release="2.0",
            target=Target.AMD64,
            packed=packed,
            path=path,
            size=1,
            sha256=hash_file(self.artifacts / path),
            engine="sandbox",
            isolated=True,
            key="1" * 64,
            seconds=Seconds(fetch=0.0, build=1.0),
            verdict=VerdictSummary(ok=True, findings=()),
            smoke=Smoke(ran=True, ok=True, how="sandbox"),
            inputs=inputs,
        )
        return replace(artifact, **changes)

    def files(self, *entries: Artifact) -> tuple[PublishedFile, ...]:
        artifacts = entries or (self.entry(), self.entry(packed=True))
        recipes = self.recipes
        return tuple(
            published_file(artifact, self.artifacts, recipes, WHEELS) for artifact in artifacts
        )

    @contextmanager
    def reader(self, component: Component) -> Iterator[Iterator[Text]]:
        self.opened.append(component.slug)
        texts = self.texts.get(component.name, USUAL)
        yield iter([Text(name, data) for name, data in texts.items()])

    def archive(self, component: Component) -> Path:
        return self.world.archive(component.name, component.version)

    @property
    def builder(self) -> BuildPlatform:
        revision = Revision(commit="e" * 40, tree="f" * 64)
        return BuildPlatform(toolchain="d" * 64, wheels=WHEELS, revision=revision)

    def data(self) -> PublishedFile:
        """A file that is no program."""
        path = self.artifacts / "data.pem"
        path.write_bytes(b"nothing that runs\n")
        recipe = self.recipes["data"]
        return PublishedFile(
            name="data.pem",
            path=path,
            sha256=hash_file(path),
            product="data",
            version="1.0",
            target=None,
            epoch=recipe.releases[0].epoch,
            key="2" * 64,
            engine="sandbox",
            isolated=True,
            components=(component_of(recipe, recipe.releases[0], Role.DATA),),
        )

    def contents(self, *, evil: Path | None = None) -> PublishedImage:
        """An image with the plain file and some data in it."""
        program, data = self.files(self.entry())[0], self.data()
        recipe = ImageRecipe(
            name="static-hello",
            summary="hello",
            tag="{hello}",
            contents=(ImageFile(product="hello:secure", path=PurePosixPath("/hello")),),
            packed=False,
            environment={},
            directories={},
        )
        inside = program if evil is None else replace(program, path=evil, sha256=hash_file(evil))
        files = tuple(
            LayerFile(path=PurePosixPath(path), source=file.path, sha256=file.sha256, mode=mode)
            for path, file, mode in (("/hello", inside, 0o755), ("/data.pem", data, 0o644))
        )
        image = Image(
            recipe=recipe,
            target=Target.AMD64,
            files=files,
            epoch=program.epoch,
            labels={},
        )
        layout = write_layout(self.directory / "oci", "static-hello", "2.0", [image])
        return PublishedImage(layout=layout, files={Target.AMD64: (program, data)})

    def image(self, **changes: Any) -> PublishedImage:
        contents = self.contents(**changes)
        return replace(contents, archives=(self.tar(contents.layout),))

    def tar(self, layout: Layout) -> Path:
        (manifest,) = layout.manifests()
        path = self.directory / archive_name(layout, manifest)
        write_archive(path, layout, manifest)
        return path

    def write(
        self,
        *entries: Artifact,
        images: tuple[PublishedImage, ...] = (),
        directory: Path | None = None,
    ) -> WrittenRelease:
        return write_release(
            directory or self.release,
            self.files(*entries),
            images=images,
            reader=self.reader,
            archive=self.archive,
            builder=self.builder,
            key=self.key,
        )

    def check(self, public_key: PublicKey | None = None) -> CheckResult:
        return check_release(self.release, public_key=public_key, judge=unpacking)

    def sum_again(self) -> None:
        """What somebody does who changed a file and has no key."""
        names = [path for path in self.release.rglob("*") if path.is_file()]
        sums = {
            path.relative_to(self.release).as_posix(): hash_file(path)
            for path in names
            if not path.name.startswith("SHA256SUMS")
        }
        (self.release / "SHA256SUMS").write_bytes(write_sums(sums))


def unpacking(path: Path, policy: Policy) -> Verdict:
    """Believe of packed files that somebody has looked inside."""
    return verify_file(path, replace(policy, unpacked_verified=True))


def whats(checked: CheckResult) -> str:
    """All findings as text."""
    return "\n".join(f"{finding.path}: {finding.what}" for finding in checked.findings)


def retar(path: Path, change: Mapping[str, bytes | None]) -> None:
    """Write an archive anew with members changed, added or left out."""
    with tarfile.open(path) as tar:
        members = {
            member.name: (file.read() if (file := tar.extractfile(member)) else b"")
            for member in tar
        }
    for name, data in change.items():
        if data is None:
            del members[name]
        else:
            members[name] = data
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
