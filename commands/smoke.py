"""`inv smoke`: tries out again what is built; nothing remembered is believed."""

from collections.abc import Sequence

from console.table import table
from core.errors import UsageError
from flow.context import Context
from publish.manifest import Artifact, read_manifest
from recipes.load import find_product
from verify.actions import Trial
from verify.servers import SmokeServers, serving
from verify.smoke import Smoke


def smoke_artifacts(context: Context) -> list[tuple[str, Smoke]]:
    """Try out every file of the manifest; return each path with how it went."""
    with serving() as servers:
        return [
            (artifact.path, _smoke(context, artifact, servers))
            for artifact in read_manifest(context.artifacts)
        ]


def _smoke(context: Context, artifact: Artifact, servers: SmokeServers) -> Smoke:
    try:
        product = find_product(artifact.product, context.recipes)
    except UsageError as error:
        # Built from a directory that is not named this time.
        return Smoke.not_run(f"{error.what} Is --recipes missing?")
    release = product.recipe.release(artifact.release)
    if release is None:
        return Smoke.not_run("this release is no longer in the recipe")
    environment = context.find_smoke_environment(context, artifact.target)
    if isinstance(environment, str):
        return Smoke.not_run(environment)
    trial = Trial.of(artifact.sha256, product, release, artifact.target)
    return trial.perform(context.artifacts / artifact.path, environment, servers)


def describe_smoke(results: Sequence[tuple[str, Smoke]]) -> str:
    """Return one line per file, then every failure."""
    rows = [(path, result.state, result.how) for path, result in results]
    failures = [f"{path}: {failure}" for path, result in results for failure in result.failures]
    return "\n".join([table(("file", "smoke", "where"), rows), *failures])
