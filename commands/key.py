"""`inv key`, and which keys sign and check releases."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_config_path

from core.errors import PublishError, UsageError
from core.key_file import LARGEST
from core.minisign import looks_secret
from core.signing import PublicKey, SecretKey, new_key
from flow.context import Context

STDIN = "-"


def secret_file(context: Context) -> Path:
    """Where the secret key is, or would be: `FROMSCRATCH_KEY`, else the user's configuration.

    Raises UsageError when the setting is no file, but the key itself.
    """
    named = context.settings["key"]
    if named == STDIN or looks_secret(named):
        msg = "The secret key comes without a file: there is none to make or to show."
        raise UsageError(msg, next="name a file: inv key new FILE, inv key show --key FILE")
    return Path(named).expanduser() if named else user_config_path("fromscratch") / "minisign.key"


def secret_key(context: Context) -> SecretKey | None:
    """Return the key to sign with; None when none is named and none was made. Raises PublishError.

    It is named as a file, or as ``-`` for standard input; the setting may also be the key's own text: build services
    hand secrets to a job in a variable, or in a file that everybody may read.
    """
    named, password = context.settings["key"], context.settings["key_password"] or None
    if named == STDIN:
        data = os.read(sys.stdin.fileno(), LARGEST + 1)
        while len(data) <= LARGEST and (more := os.read(sys.stdin.fileno(), LARGEST)):
            data += more
        return SecretKey.parse(data.decode("ascii", "replace"), "standard input", password=password)
    if looks_secret(named):
        return SecretKey.parse(named, "the setting 'key'", password=password)
    path = secret_file(context)
    if not named and not path.exists():
        return None
    return SecretKey.read(path, password=password)


def public_keys(context: Context) -> tuple[PublicKey, ...]:
    """Return the keys to check with, each once: files or their one lines, with commas between them.

    Raises PublishError for what is none, and says of a file that is missing that it is.
    """
    named = context.settings["public_key"]
    words = [named] if Path(named).expanduser().exists() else named.split(",")
    keys = [_public(word.strip()) for word in words if word.strip()]
    return tuple({key.point: key for key in keys}.values())


def public_key(context: Context) -> PublicKey | None:
    """Return the first key to check with. Raises PublishError."""
    return next(iter(public_keys(context)), None)


def _public(named: str) -> PublicKey:
    path = Path(named).expanduser()
    if path.exists():
        return PublicKey.read(path)
    if len(named) == 56 and named.startswith("RW"):
        return PublicKey.parse(named)
    msg = f"The public key file {path} does not exist."
    why = "it is named otherwise: inv key new makes FILE and FILE.pub"
    raise PublishError(msg, why=why, next="name that file, or the line in it that begins with RW")


def manage_keys(context: Context, words: Sequence[str]) -> list[str]:
    """Do what ``key WORD`` says; return what to print: never the secret half."""
    match list(words):
        case ["new"] | ["new", _]:
            path = Path(words[1]) if len(words) == 2 else secret_file(context)
            public = path.with_name(f"{path.name}.pub")
            key = new_key(path, public)
            return [
                f"secret key: {path} (keep it, and keep it to yourself)",
                f"public key: {public}",
                f"publish this line where your users find it: {key.public.line}",
            ]
        case ["show"] | ["show", _]:
            return [_shown(context, words[1:]).line]
        case ["pem"] | ["pem", _]:
            return [_shown(context, words[1:]).pem.strip()]
        case ["sign", release]:
            from commands.countersign import countersign  # noqa: PLC0415 - slow, and only for this

            path = countersign(context, Path(release), secret_key(context))
            return [f"signed once more: {path}"]
        case _:
            msg = f"'key {' '.join(words)}' is not known."
            raise UsageError(
                msg,
                next="inv key new [FILE], inv key show [FILE], inv key pem [FILE], inv key sign RELEASE",
            )


def _shown(context: Context, words: Sequence[str]) -> PublicKey:
    """The public half, out of its own file or of the secret one: either may be all there is."""
    named = context.settings["key"]
    if not words and (named == STDIN or looks_secret(named)):
        key = secret_key(context)
        assert key, "it is named"
        return key.public
    path = Path(words[0]) if words else secret_file(context)
    public = path.with_name(f"{path.name}.pub")
    if path.exists():
        try:
            return SecretKey.read(path, password=context.settings["key_password"] or None).public
        except PublishError:
            if not public.exists():
                raise
    return PublicKey.read(public)
