"""The version, once."""

from __future__ import annotations

VERSION = "0.1.0"
USER_AGENT = b"fromscratch-probe/" + VERSION.encode()
