"""One platform's image as one tar that `docker load` and `skopeo copy oci-archive:` both take.

An OCI layout and, beside it, the `manifest.json` of `docker save`, which engines before 25 look for
(https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format).
"""

import io
import tarfile
from pathlib import Path

from core.errors import PublishError
from core.files import write_file
from publish.oci.layout import FULL_NAME, INDEX, REF_NAME, Descriptor, Layout, canonical


def archive_name(layout: Layout, manifest: Descriptor) -> str:
    """``static-curl-8.21.0-http-linux-amd64.tar``."""
    assert manifest.platform, "an index names the platform of each manifest"
    return f"{layout.slug}-{manifest.platform.slug}.tar"


def write_archive(path: Path, layout: Layout, manifest: Descriptor) -> None:
    """Write ``manifest``, one of the layout's, as a tar at ``path``; whole or not at all, and only when it changed.

    An engine will call it by name and tag of the layout. Raises PublishError.
    """
    called = layout.full_name
    config, *layers = layout.entries(manifest, "config", "layers")
    entry = {
        **manifest.as_dict(),
        "annotations": {REF_NAME: layout.tag, FULL_NAME: called},
    }
    saved = {
        "Config": config.path,
        "RepoTags": [called],
        "Layers": [layer.path for layer in layers],
    }
    members = {
        "oci-layout": canonical({"imageLayoutVersion": "1.0.0"}),
        "index.json": canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}),
        "manifest.json": canonical([saved]),
    }
    for descriptor in (config, *layers, manifest):
        layout.check(descriptor)
        members[descriptor.path] = layout.blob(descriptor.digest).read_bytes()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member in sorted(members):
            info = tarfile.TarInfo(member)
            info.size = len(members[member])
            tar.addfile(info, io.BytesIO(members[member]))
    try:
        write_file(path, archive.getvalue())
    except OSError as error:
        msg = f"{path} cannot be written: {error}"
        raise PublishError(msg, next="check free space and permissions of its directory") from error
