"""What a file is expected to be, beyond static, stripped and sane."""

from dataclasses import dataclass

from core.target import Target
from recipes.model import Linkage

__all__ = ["Expectations", "Linkage"]


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """All optional: None expects nothing.

    ``max_size`` is in bytes. ``build_paths`` are absolute directories, of four characters or more, that
    must not be named in the file, beside the usual places where builds happen.
    ``unpacked_judged`` says that what ``upx -d`` gives back was judged too; nothing but that can
    tell a packed static program from a packed dynamic one.
    """

    target: Target | None = None
    linkage: Linkage | None = None
    max_size: int | None = None
    packed: bool | None = None
    unpacked_judged: bool = False
    build_paths: tuple[str, ...] = ()
