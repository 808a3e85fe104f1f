"""As much of ctypes as Nuitka asks for at import: sizes. A static interpreter loads no library."""

import struct


class c_long:
    """C's long, of the smallest target: what is compiled for 32 bits runs on all of them."""

    code = "i"


class c_longlong:
    """C's long long."""

    code = "q"


class CDLL:
    """A library, if one could be had."""

    def __init__(self, *args: object, **more: object) -> None:
        msg = "a static program loads no library"
        raise OSError(msg)


def sizeof(kind: type[c_long | c_longlong]) -> int:
    """Bytes of a C type."""
    return struct.calcsize(kind.code)


def __getattr__(name: str) -> type:
    """Anything else is a class that can be derived from, and never is used."""
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})
