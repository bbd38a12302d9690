"""Numbers to text: 3.2e-4, 12.3 GiB, 48 ms, 1:23:20, never wider than asked."""

import math

from rich.cells import cell_len, set_cell_size

TOO_WIDE = "#"
"""Fills the room of a number that cannot be written in it, so that no digit is ever cut off."""


def number(value: float, width: int = 6) -> str:
    """A number in at most `width` characters, with as many significant digits, up to 4, as fit."""
    if width <= 0:
        return ""
    if not math.isfinite(value):
        return _fitting(["NaN"] if math.isnan(value) else ["inf" if value > 0 else "-inf"], width)
    if value == 0:
        return "0"
    exponents = [_scientific(value, digits) for digits in (3, 2, 1, 0)]
    plain = [_plain(value, digits) for digits in (4, 3, 2)]
    readable = 1e-3 <= abs(value) < 1e5
    candidates = [*plain, *exponents] if readable else [*exponents, _plain(value, 1)]
    if readable and abs(value) < 1:
        candidates = [*plain[:3], *exponents[1:], _plain(value, 1)]
    return _fitting([*candidates, *(_plain(value, 1),) * readable], width)


def count(value: float, width: int = 6) -> str:
    """A whole number: 4000, and with a unit where it would be too wide: 12.3k, 4M."""
    whole = f"{value:.0f}" if math.isfinite(value) else number(value, width)
    scaled = (_scaled(value, unit, name) for unit, name in ((1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")))
    return _fitting([whole, *(text for texts in scaled for text in texts)], width)


def size(num_bytes: float, width: int = 9) -> str:
    """A size of memory: 812 B, 12.3 GiB."""
    if not math.isfinite(num_bytes):
        return number(num_bytes, width)
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    scaled, index = float(num_bytes), 0
    while abs(scaled) >= 999.5 and index < len(units) - 1:
        scaled, index = scaled / 1024, index + 1
    unit = units[index]
    digits = 0 if index == 0 or abs(scaled) >= 99.95 else 1
    return _fitting([f"{scaled:.{digits}f} {unit}", f"{scaled:.0f} {unit}", f"{scaled:.0f}{unit[0]}"], width)


def duration(seconds: float, width: int = 8) -> str:
    """A time: 35 µs, 48 ms, 3.2 s, 12:05, 1:23:20, 3d 04h."""
    if not math.isfinite(seconds):
        return number(seconds, width)
    if seconds < 0:
        return _fitting(["-" + duration(-seconds, width - 1)], width)
    for unit, name in ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s")):
        if seconds < 59.95 * unit if unit == 1.0 else seconds < 999.5 * unit:
            scaled = seconds / unit
            digits = 1 if 0.05 <= scaled < 9.95 else 0
            return _fitting(
                [f"{scaled:.{digits}f} {name}", f"{scaled:.0f} {name}", f"{scaled:.0f}{name}"], width
            )
    return _fitting(_clock(round(seconds)), width)


def _clock(seconds: int) -> list[str]:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if not hours:
        return [f"{minute}:{second:02d}", f"{minute}m"]
    if not days:
        return [f"{hour}:{minute:02d}:{second:02d}", f"{hour}h{minute:02d}", f"{hour}h"]
    return [f"{days}d {hour:02d}h", f"{days}d"]


def percent(fraction: float, width: int = 6) -> str:
    """A share of 1: 12 %, 0.4 %."""
    if not math.isfinite(fraction):
        return number(fraction, width)
    value = fraction * 100
    digits = 1 if 0 < abs(value) < 9.95 else 0
    return _fitting([f"{value:.{digits}f} %", f"{value:.0f} %", f"{value:.0f}%"], width)


def fit(text: str, width: int, ellipsis: str = "…") -> str:
    """Text cut to a width in cells; a cut shows."""
    if cell_len(text) <= width:
        return text
    if width <= cell_len(ellipsis):
        return set_cell_size(text, max(0, width))
    return set_cell_size(text, width - cell_len(ellipsis)) + ellipsis


def fit_end(text: str, width: int, ellipsis: str = "…") -> str:
    """Text cut to a width in cells at its beginning, for dotted names whose end tells them apart."""
    return fit(text[::-1], width, ellipsis)[::-1]


def _plain(value: float, digits: int) -> str:
    """Without exponent, rounded to `digits` significant digits, whole digits always kept."""
    magnitude = math.floor(math.log10(abs(value)))
    return f"{value:.{max(0, digits - 1 - magnitude)}f}"


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def _scaled(value: float, unit: float, name: str) -> tuple[str, str]:
    return f"{value / unit:.1f}{name}", f"{value / unit:.0f}{name}"


def _fitting(candidates: list[str], width: int) -> str:
    return next((text for text in candidates if len(text) <= width), TOO_WIDE * max(0, width))
