"""`inv key`, and which keys sign and check releases."""

from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_config_path

from core.errors import UsageError
from core.signing import PublicKey, SecretKey, new_key
from flow.context import Context


def secret_file(context: Context) -> Path:
    """Where the secret key is, or would be: `FROMSCRATCH_KEY`, else the user's configuration."""
    named = context.settings["key"]
    return Path(named).expanduser() if named else user_config_path("fromscratch") / "minisign.key"


def secret_key(context: Context) -> SecretKey | None:
    """Return the key to sign with; None when none is named and none was made. Raises PublishError."""
    path = secret_file(context)
    if not context.settings["key"] and not path.exists():
        return None
    return SecretKey.read(path, password=context.settings["key_password"] or None)


def public_key(context: Context) -> PublicKey | None:
    """Return the key to check with, named as a file or as its one line. Raises PublishError."""
    named = context.settings["public_key"]
    if not named:
        return None
    path = Path(named).expanduser()
    return PublicKey.read(path) if path.exists() else PublicKey.parse(named)


def manage_keys(context: Context, words: Sequence[str]) -> list[str]:
    """Do what ``key WORD`` says; return what to print: never the secret half."""
    path = Path(words[1]) if len(words) == 2 else secret_file(context)
    public = path.with_name(f"{path.name}.pub")
    match list(words):
        case ["new"] | ["new", _]:
            key = new_key(path, public)
            return [
                f"secret key: {path} (keep it, and keep it to yourself)",
                f"public key: {public}",
                f"publish this line where your users find it: {key.public.line}",
            ]
        case ["show"]:
            return [PublicKey.read(public).line]
        case _:
            msg = f"'key {' '.join(words)}' is not known."
            raise UsageError(msg, next="inv key new [FILE], inv key show")
