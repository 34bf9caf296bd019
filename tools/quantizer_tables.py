"""Computes the constants of docs/bitstream.md *Quantizers* and writes them where they are used.

    python tools/quantizer_tables.py            # says whether the files hold what is computed
    python tools/quantizer_tables.py --write    # writes csrc/quantizer_tables.h and codec/reference/tables.py

Lloyd-Max levels (Max 1960, Lloyd 1982) are the fixed point of "a threshold is the mean of its neighbours, a
level is the centroid of its cell": Newton's method on the positive half, in closed form but for the steps.
Clips for exponential magnitudes minimise closed-form squared errors. Needs numpy and a few seconds.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
HEADER = ROOT / "qeil_ros" / "csrc" / "quantizer_tables.h"
MODULE = ROOT / "qeil_ros" / "codec" / "reference" / "tables.py"
SIGMA = 1024
"""The integer that stands for one standard deviation in the Lloyd-Max tables."""
WIDTHS = range(1, 9)

Floats = NDArray[np.float64]
Density = Callable[[Floats], Floats]


def laplacian_density(t: Floats) -> Floats:
    """Of magnitudes of a Laplacian of unit variance."""
    return np.sqrt(2) * np.exp(-np.sqrt(2) * t)


def laplacian_tail(t: Floats) -> Floats:
    return np.exp(-np.sqrt(2) * t)


def laplacian_moment(t: Floats) -> Floats:
    """Integral of s p(s) from t to infinity."""
    finite = np.where(np.isinf(t), 0, t)
    return np.where(np.isinf(t), 0, np.exp(-np.sqrt(2) * finite) * (finite + 1 / np.sqrt(2)))


def gaussian_density(t: Floats) -> Floats:
    return np.sqrt(2 / np.pi) * np.exp(-t * t / 2)


def gaussian_tail(t: Floats) -> Floats:
    return np.array([math.erfc(value / math.sqrt(2)) for value in t.tolist()])


def lloyd_max(levels: int, density: Density, tail: Density, moment: Density) -> Floats:
    """The non-negative half of the `2 * levels` levels for a symmetric source, by Newton's method."""
    y = np.asarray(3 * -np.log1p(-(np.arange(levels) + 0.5) / (levels + 1)) / np.sqrt(2))
    for turn in range(4000):
        t = np.concatenate(([0.0], (y[1:] + y[:-1]) / 2, [np.inf]))
        mass = -np.diff(tail(t))
        centroid = -np.diff(moment(t)) / mass
        if np.abs(y - centroid).max() < 1e-13:
            return y
        if turn < 200:  # Lloyd's own iteration first: slow, but from anywhere
            y = centroid
            continue
        edge = density(np.where(np.isinf(t), 0, t)) * ~np.isinf(t)
        lower = (
            edge[:-1] * (centroid - t[:-1]) / mass / 2
        )  # of a centroid by each neighbour of its cell's two edges
        upper = (
            np.where(np.isinf(t[1:]), 0, edge[1:] * (np.where(np.isinf(t[1:]), 0, t[1:]) - centroid))
            / mass
            / 2
        )
        lower[0] = 0
        jacobian = np.diag(1 - lower - upper) - np.diag(lower[1:], -1) - np.diag(upper[:-1], 1)
        y = y - np.linalg.solve(jacobian, y - centroid)
    raise ArithmeticError(f"{levels} levels: Newton's method did not settle")


def laplacian(width: int) -> list[int]:
    half = lloyd_max(1 << (width - 1), laplacian_density, laplacian_tail, laplacian_moment)
    return [round(level * SIGMA) for level in half.tolist()]


def gaussian(width: int) -> list[int]:
    half = lloyd_max(1 << (width - 1), gaussian_density, gaussian_tail, gaussian_density)
    return [round(level * SIGMA) for level in half.tolist()]


# --- clips for exponential magnitudes of mean 1 ---


def cell_error(level: float, low: float, high: float) -> float:
    """Integral of (t - level)^2 e^-t from low to high."""

    def primitive(t: float) -> float:
        return 0.0 if np.isinf(t) else float(-np.exp(-t) * ((t - level + 1) ** 2 + 1))

    return primitive(high) - primitive(low)


def magnitude_error(levels: Floats) -> float:
    """Mean squared error of exponential magnitudes at their nearest of the ascending non-negative levels."""
    edges = np.concatenate(([0.0], (levels[1:] + levels[:-1]) / 2, [np.inf]))
    return sum(map(cell_error, levels.tolist(), edges[:-1].tolist(), edges[1:].tolist()))


def mid_rise(cells: int) -> Floats:
    """Magnitude levels of `cells` equal cells on [0, 1], each at its middle."""
    return (np.arange(cells) + 0.5) / cells


def mid_tread(width: int) -> Floats:
    """Magnitude levels of the symmetric quantizer, the outermost 1; at one bit those of one cell."""
    steps = (1 << (width - 1)) - 1
    return np.arange(steps + 1) / steps if steps else mid_rise(1)


def powers_of_two(width: int) -> Floats:
    steps = min((1 << (width - 1)) - 1, 15)
    return np.concatenate(([0.0], 2.0 ** np.arange(1 - steps, 1))) if steps else np.ones(1)


def best_clip(levels: Floats) -> float:
    """The factor on `levels` (the mean magnitude is 1) of least squared error."""
    grid = np.geomspace(0.3, 30, 200).tolist()  # powers of two have a minimum in every octave
    at = int(np.argmin([magnitude_error(clip * levels) for clip in grid]))
    low, high = grid[at - 1], grid[at + 1]
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-7:  # golden section
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if magnitude_error(a * levels) < magnitude_error(b * levels):
            high = b
        else:
            low = a
    return round(low, 4)


def header(tables: dict[str, list[list[int]]], clips: dict[str, list[float]]) -> str:
    lines = [
        "/* Constants of docs/bitstream.md, written by tools/quantizer_tables.py. */",
        "#ifndef QEIL_QUANTIZER_TABLES_H",
        "#define QEIL_QUANTIZER_TABLES_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define QEIL_SIGMA {SIGMA}.0 /* one standard deviation in the tables below */",
        "",
        "/* The positive half of the Lloyd-Max levels: those of a width begin at entry 2^(width-1) - 1. */",
    ]
    for name, rows in tables.items():
        flat = [value for row in rows for value in row]
        lines.append(f"static const int16_t qeil_{name}_levels[{len(flat)}] = {{")
        lines += ["    " + ", ".join(map(str, flat[at : at + 18])) + "," for at in range(0, len(flat), 18)]
        lines += ["};", ""]
    lines.append("/* Clip for exponential magnitudes of mean 1, by width; 0 stands for no width. */")
    for name, values in clips.items():
        numbers = ", ".join(["0", *(f"{value:g}" for value in values)])
        lines.append(f"static const double qeil_{name}_clip[{len(values) + 1}] = {{{numbers}}};")
    return "\n".join([*lines, "", "#endif", ""])


def module(tables: dict[str, list[list[int]]], clips: dict[str, list[float]]) -> str:
    lines = [
        '"""Constants of docs/bitstream.md, written by tools/quantizer_tables.py."""',
        "",
        "# fmt: off",
        "from __future__ import annotations",
        "",
        f"SIGMA = {SIGMA}.0",
        '"""One standard deviation in the Lloyd-Max tables."""',
    ]
    for name, rows in tables.items():
        lines += ["", f"{name.upper()}_LEVELS: dict[int, tuple[int, ...]] = {{"]
        for width, row in zip(WIDTHS, rows, strict=True):
            lines.append(f"    {width}: (")
            lines += [
                "        " + ", ".join(map(str, row[at : at + 16])) + "," for at in range(0, len(row), 16)
            ]
            lines.append("    ),")
        lines.append("}")
        lines.append('"""The non-negative half of the levels, by width."""')
    for name, values in clips.items():
        numbers = ", ".join(["0", *(f"{value:g}" for value in values)])
        lines += ["", f"{name.upper()}_CLIP = ({numbers})"]
    lines += ['"""Clips for exponential magnitudes of mean 1, by width."""', ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the two files")
    write = parser.parse_args().write
    tables = {"laplacian": [laplacian(w) for w in WIDTHS], "gaussian": [gaussian(w) for w in WIDTHS]}
    clips = {
        # one entry more: magnitudes of one sign have one bit more
        "mid_rise": [best_clip(mid_rise(1 << (w - 1))) for w in (*WIDTHS, 9)],
        "symmetric": [best_clip(mid_tread(w)) for w in WIDTHS],
        "power_of_two": [best_clip(powers_of_two(w)) for w in WIDTHS],
    }
    stale = []
    for path, text in ((HEADER, header(tables, clips)), (MODULE, module(tables, clips))):
        if write:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(str(path.relative_to(ROOT)))
    if stale:
        sys.stderr.write(f"not what is computed: {', '.join(stale)}; run with --write\n")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
