"""How numbers are written."""

from datetime import date


def count(number: int, one: str, many: str = "") -> str:
    """``1 file``, ``2 files``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(number: int | None) -> str:
    """Bytes, as charts write them: ``802 kB``, ``3.72 MB``; thousands are 1,000."""
    if number is None:
        return "not recorded"
    if number < 1000:
        return f"{number} B"
    if number < 999_500:
        return f"{number / 1000:.0f} kB" if number >= 9950 else f"{number / 1000:.1f} kB"
    return f"{number / 1e6:.2f} MB"


def exact(number: int | None) -> str:
    """Bytes, as tables write them."""
    return "not recorded" if number is None else f"{number:,}"


def change(now: int, before: int) -> str:
    """``+1,234 (+0.3 %)``"""
    if now == before:
        return "0"
    return f"{now - before:+,} ({percent(now, before)})"


def percent(now: float, before: float) -> str:
    """``+0.3 %``"""
    return f"{100 * (now - before) / before:+.1f} %" if before else "new"


def seconds(number: float) -> str:
    """``81 s``, ``0.4 s``, ``3 min 5 s``"""
    if number >= 120:
        return f"{number // 60:.0f} min {number % 60:.0f} s"
    return f"{number:.0f} s" if number >= 10 else f"{number:.1f} s" if number >= 0.1 else "< 0.1 s"


def mebibytes(number: int | None) -> str:
    """``197 MiB``"""
    return "not recorded" if number is None else f"{number / 2**20:,.0f} MiB"


def moment(when: str) -> str:
    """``2026-11-28 12:31 UTC`` of ``2026-11-28T12:31:07Z``; what is no time as it is."""
    return f"{when[:10]} {when[11:16]} UTC" if len(when) == 20 and when[10] == "T" else when


def age(day: str, today: str) -> int | None:
    """Days between two days, None when one is none."""
    try:
        return (date.fromisoformat(today[:10]) - date.fromisoformat(day[:10])).days
    except ValueError:
        return None
