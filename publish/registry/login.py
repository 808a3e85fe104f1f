"""Who we are at one registry."""

import base64
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Login:
    """One registry's user. Nothing secret of it is ever shown."""

    user: str = ""
    secret: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    """A refresh token, which some registries hand out in place of a password."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that must not be shown."""
        basic = base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()
        return tuple(filter(None, (self.secret, self.identity, basic if self.secret else "")))
