"""What a registry's "no" means, and what to do about it.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
"""

import json

from core.errors import PublishError
from core.http import Response
from publish.registry.client import RegistryClient


def status_error(response: Response, client: RegistryClient, doing: str) -> PublishError:
    """Return the error for a status that does not let us do what we are ``doing``."""
    repository = client.repository
    msg = f"{repository} does not let us {doing}: {description(response, client)}."
    match response.status:
        case 401 | 403:
            return PublishError(
                msg,
                why="the login has no right to it, or the registry is read-only",
                next=f"docker login {repository.host} as somebody who may",
            )
        case 404:
            return PublishError(
                msg, why="there is no such repository", next="create it, or look at its name"
            )
        case 405:
            return PublishError(
                msg, why="the registry is read-only", next="push to another registry"
            )
        case 413:
            return PublishError(
                msg,
                why="something before the registry limits the size of requests",
                next="raise the limit (nginx: client_max_body_size), or push past the proxy",
            )
        case _:
            return PublishError(msg, next="ask who runs the registry")


def description(response: Response, client: RegistryClient) -> str:
    """Return the status and what the registry says about it, fit to be shown."""
    messages = "; ".join(filter(None, _errors(response, "message")))[:200]
    listed = ", ".join(sorted(codes(response)))[:80]
    return client.redacted(" - ".join(filter(None, (f"HTTP {response.status}", listed, messages))))


def codes(response: Response) -> set[str]:
    """Return the error codes in an answer."""
    return set(filter(None, _errors(response, "code")))


def _errors(response: Response, key: str) -> list[str]:
    try:
        errors = json.loads(response.content)["errors"]
        return [str(error.get(key, "")) for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
