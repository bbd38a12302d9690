"""Numbers to text: 3.2e-4, 12.3 GiB, 48 ms, 1:23:20, never wider than asked."""

import math
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size

TOO_WIDE = "#"
"""Fills the room of a number that cannot be written in it, so that no digit is ever cut off."""

SMALLEST_PLAIN, LARGEST_PLAIN = 1e-3, 1e6
"""Between these a number is written without an exponent where it fits."""


def number(value: float, width: int = 6) -> str:
    """A number in at most `width` characters, with as many significant digits, up to 4, as fit."""
    value = float(value)
    if math.isnan(value):
        return _fitting(["NaN"], width)
    if math.isinf(value):
        return _fitting(["inf" if value > 0 else "-inf"], width)
    if value == 0:
        return _fitting(["0"], width)
    scientific = [_scientific(value, digits) for digits in (4, 3, 2, 1)]
    if SMALLEST_PLAIN <= abs(value) < LARGEST_PLAIN:
        plain = [_plain(value, digits) for digits in (4, 3, 2, 1)]
        return _fitting([*plain[:3], scientific[2], plain[3], scientific[3]], width)
    return _fitting(scientific[1:], width)


def count(value: float, width: int = 6) -> str:
    """A whole number: 4000; in thousands and more where that is exact or would be too wide: 12.3k, 4M."""
    value = float(value)
    if not math.isfinite(value):
        return number(value, width)
    units = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
    # 4000 is easier to read than 4k, 40k easier than 40000
    exact = [f"{value / unit:.0f}{name}" for unit, name in units if abs(value) >= 1e4 and value % unit == 0]
    scaled = [f"{value / unit:.{digits}f}{name}" for unit, name in reversed(units) for digits in (1, 0)]
    return _fitting([*exact[:1], f"{value:.0f}", *scaled], width)


def size(num_bytes: float, width: int = 9) -> str:
    """A size of memory: 812 B, 12.3 GiB."""
    scaled, index = float(num_bytes), 0
    if not math.isfinite(scaled):
        return number(scaled, width)
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    while abs(scaled) >= 999.5 and index < len(units) - 1:
        scaled, index = scaled / 1024, index + 1
    unit = units[index]
    digits = 0 if index == 0 or abs(scaled) >= 99.95 else 1
    whole = f"{scaled:.0f}"
    return _fitting([f"{scaled:.{digits}f} {unit}", f"{whole} {unit}", f"{whole}{unit[0]}"], width)


def duration(seconds: float, width: int = 8) -> str:
    """A time: 35 µs, 48 ms, 3.2 s, 12:05, 1:23:20, 3d 04h."""
    seconds = float(seconds)
    if not math.isfinite(seconds):
        return number(seconds, width)
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    candidates = _clock(round(seconds)) if seconds >= 59.95 else _short_time(seconds)
    return _fitting([sign + text for text in candidates], width)


def percent(fraction: float, width: int = 6) -> str:
    """A share of 1: 12 %, 0.4 %."""
    value = float(fraction) * 100
    if not math.isfinite(value):
        return number(value, width)
    digits = 1 if 0 < abs(value) < 9.95 else 0
    return _fitting([f"{value:.{digits}f} %", f"{value:.0f} %", f"{value:.0f}%"], width)


def fit(text: str, width: int, ellipsis: str = "…") -> str:
    """Text cut to a width in cells; a cut shows."""
    if cell_len(text) <= width:
        return text
    if width <= cell_len(ellipsis):
        return set_cell_size(text, max(0, width))
    return set_cell_size(text, width - cell_len(ellipsis)) + ellipsis


def fit_name(name: str, width: int, ellipsis: str = "…") -> str:
    """A dotted name cut to a width in cells at its beginning, where it can at a dot: …h.7.mlp.weight."""
    if cell_len(name) <= width:
        return name
    shortened = (drop_parts(name, num, ellipsis) for num in range(1, name.count(".") + 1))
    return next(
        (text for text in shortened if cell_len(text) <= width), fit(name[::-1], width, ellipsis)[::-1]
    )


def fit_names(names: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Dotted names cut to a width; those that begin alike lose equally many parts, so that they line up."""
    dropped: dict[str, int] = {}
    for name in names:
        first = name.partition(".")[0]
        num = dropped.get(first, 0)
        while num < name.count(".") and cell_len(drop_parts(name, num, ellipsis)) > width:
            num += 1
        dropped[first] = num
    shortened = (drop_parts(name, dropped[name.partition(".")[0]], ellipsis) for name in names)
    return [fit_name(text, width, ellipsis) for text in shortened]


def drop_parts(name: str, num: int, ellipsis: str = "…") -> str:
    """A dotted name without its first `num` parts; the last part always stays."""
    parts = name.split(".")
    num = min(num, len(parts) - 1)
    return ellipsis + ".".join(parts[num:]) if num else name


def _short_time(seconds: float) -> list[str]:
    unit, name = next(
        (pair for pair in ((1e-6, "µs"), (1e-3, "ms")) if seconds < 999.5 * pair[0] and seconds), (1.0, "s")
    )
    scaled = seconds / unit
    digits = 1 if 0.05 <= scaled < 9.95 else 0
    return [f"{scaled:.{digits}f} {name}", f"{scaled:.0f} {name}", f"{scaled:.0f}{name}"]


def _clock(seconds: int) -> list[str]:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if not hours:
        return [f"{minute}:{second:02d}", f"{minute}m"]
    if not days:
        return [f"{hour}:{minute:02d}:{second:02d}", f"{hour}h{minute:02d}", f"{hour}h"]
    return [f"{days}d {hour:02d}h", f"{days}d"]


def _plain(value: float, digits: int) -> str:
    """Without exponent, rounded to `digits` significant digits; whole digits are always kept."""
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def _scientific(value: float, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def _fitting(candidates: Iterable[str], width: int) -> str:
    return next((text for text in candidates if len(text) <= width), TOO_WIDE * max(0, width))
