"""What a registry's "no" means, and what to do about it.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
"""

import json
from collections.abc import Callable

from core.errors import PublishError
from publish.registry.answer import Response
from publish.registry.reference import Repository

Hidden = Callable[[str], str]
"""A text without the secrets that it may hold."""


def refusal(answer: Response, repository: Repository, doing: str, hidden: Hidden) -> PublishError:
    """Return the error for an answer that does not let us do what we are ``doing``."""
    msg = f"{repository} does not let us {doing}: {said(answer, hidden)}."
    match answer.status:
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


def said(answer: Response, hidden: Hidden) -> str:
    """Return the status and what the registry says about it, fit to be shown."""
    texts = "; ".join(text for text in _errors(answer, "message") if text)[:200]
    words = filter(None, (f"HTTP {answer.status}", ", ".join(sorted(codes(answer)))[:80], texts))
    return hidden(" - ".join(words))


def codes(answer: Response) -> set[str]:
    """Return the error codes in an answer."""
    return {code for code in _errors(answer, "code") if code}


def _errors(answer: Response, key: str) -> list[str]:
    try:
        errors = json.loads(answer.content)["errors"]
        return [str(error.get(key, "")) for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
