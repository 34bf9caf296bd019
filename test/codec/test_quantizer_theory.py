"""What the quantizers promise, against independent oracles: published tables, brute force, statistics."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qeil_ros import _kernels
from qeil_ros.codec.quantize import Percentile, clip_rule
from qeil_ros.codec.reference import levels, quantizers

ROOT = Path(__file__).resolve().parents[2]
UNIFORM, SYMMETRIC, SIGN_MAGNITUDE, POWER_OF_TWO, LAPLACIAN, GAUSSIAN = range(1, 7)
KINDS = range(UNIFORM, GAUSSIAN + 1)
Floats = NDArray[np.float32]

# J. Max, Quantizing for minimum distortion, IRE Trans. IT-6 (1960), table I: positive outputs and the error
# (which later computations put 0.2 % higher at 5 bits)
MAX_1960 = {
    1: ([0.7980], 0.3634),
    2: ([0.4528, 1.510], 0.1175),
    3: ([0.2451, 0.7560, 1.344, 2.152], 0.03454),
    4: ([0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733], 0.009497),
    5: ([0.0659, 0.1981, 0.3314, 0.4668, 0.6050, 0.7473, 0.8947, 1.049, 1.212], 0.002499),
}
# closed forms for a Laplacian of unit variance: one bit, two bits (Adams and Giesler 1978)
LAPLACIAN_KNOWN = {1: ([0.7071], 0.5), 2: ([0.4198, 1.8340], 0.1762)}


def density(kind: int, t: NDArray[np.float64]) -> NDArray[np.float64]:
    if kind == GAUSSIAN:
        return np.exp(-t * t / 2) / math.sqrt(2 * math.pi)
    return np.exp(-math.sqrt(2) * np.abs(t)) / math.sqrt(2)


def simpson(y: NDArray[np.float64], x: NDArray[np.float64]) -> float:
    weights = np.full(len(x), 2.0)
    weights[1::2] = 4
    weights[[0, -1]] = 1
    return float((weights * y).sum() * (x[-1] - x[0]) / (len(x) - 1) / 3)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("kind", [LAPLACIAN, GAUSSIAN])
def test_tables_meet_the_lloyd_max_conditions(kind: int, bits: int) -> None:
    """Each level is the centroid of the cell between the middles, by numerical integration of the density."""
    half = np.array(_kernels.quantizer_levels(kind, bits)[1 << (bits - 1) :]) / 1024
    edges = np.concatenate(([0.0], (half[1:] + half[:-1]) / 2, [40.0]))
    for level, low, high in zip(half, edges[:-1], edges[1:], strict=True):
        t = np.linspace(low, high, 20_001 if high == 40 else 201)
        p = density(kind, t)
        # half a unit of rounding here and, by way of the edges, in the neighbours
        assert abs(simpson(t * p, t) / simpson(p, t) - level) < 1.01 / 1024


@pytest.mark.parametrize("kind", [LAPLACIAN, GAUSSIAN])
def test_tables_are_the_published_ones(kind: int) -> None:
    for bits, (published, error) in (MAX_1960 if kind == GAUSSIAN else LAPLACIAN_KNOWN).items():
        half = np.array(_kernels.quantizer_levels(kind, bits)[1 << (bits - 1) :]) / 1024
        assert np.allclose(half[: len(published)], published, atol=1.1e-3)
        t = np.linspace(0, 40, 400_001)
        nearest = half[np.searchsorted((half[1:] + half[:-1]) / 2, t)]
        assert 2 * simpson((t - nearest) ** 2 * density(kind, t), t) == pytest.approx(error, rel=3e-3)


def test_the_committed_tables_are_what_their_script_computes() -> None:
    script = ROOT / "tools" / "quantizer_tables.py"
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def test_the_specification_prints_the_tables() -> None:
    text = (ROOT / "docs" / "bitstream.md").read_text()
    for kind, name in ((LAPLACIAN, "laplacian"), (GAUSSIAN, "gaussian")):
        block = text.split(f"*{name}*, by width:")[1].split("\n\n")[1]
        rows = [row.split() for row in " ".join(block.split()).replace(": ", ":").split(" ") if row]
        numbers = " ".join(" ".join(row) for row in rows)
        for bits in range(1, 9):
            half = _kernels.quantizer_levels(kind, bits)[1 << (bits - 1) :]
            assert f"{bits}:{' '.join(map(str, half))}" in numbers


# --- levels ---


def quantized(x: Floats, kind: int, bits: int, rule: str, low: float = 0, high: float = 0) -> Floats:
    q, parameters = _kernels.Quantizer(), np.empty(_kernels.parameter_bytes(kind, 1), np.uint8)
    data, out = x.view(np.uint8), np.empty_like(x)
    q.choose(data, 1, x.size, 1, kind, bits, rule, low, high, parameters)
    assert q.load(parameters, 1, kind, bits) == -1
    codes = np.empty(x.size, np.uint8)
    q.codes(data, 1, x.size, codes)
    q.values(codes, 1, x.size, out.view(np.uint8))
    return out


def error(x: Floats, y: Floats) -> float:
    return float(((x.astype(np.float64) - y) ** 2).mean())


SOURCES: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "gaussian": lambda rng, n: rng.normal(0, 1, n),
    "laplacian": lambda rng, n: rng.laplace(0, 1, n),
    "offset": lambda rng, n: rng.normal(10, 1, n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "relu": lambda rng, n: np.maximum(rng.laplace(0, 1, n), 0),
    "lognormal": lambda rng, n: rng.lognormal(0, 1, n),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_search_is_about_as_good_as_brute_force(source: str, bits: int) -> None:
    """Uniform levels: at most a tenth over the least error on a grid of 40 x 40 ends."""
    x = SOURCES[source](np.random.default_rng(bits), 3000).astype(np.float32)
    centre, low, high = float(x.mean()), float(x.min()), float(x.max())
    best = math.inf
    for below in (centre - low) * 1.1 * 0.9 ** np.arange(40):
        for above in (high - centre) * 1.1 * 0.9 ** np.arange(40):
            step = (below + above) / (1 << bits)
            first = centre - below + step / 2
            code = np.clip(np.rint((x - first) / step), 0, (1 << bits) - 1)
            best = min(best, error(x, (first + step * code).astype(np.float32)))
    assert error(x, quantized(x, UNIFORM, bits, "mse")) < 1.1 * best


@pytest.mark.parametrize("kind", [SYMMETRIC, SIGN_MAGNITUDE, POWER_OF_TWO, LAPLACIAN, GAUSSIAN])
@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
def test_the_searched_unit_is_about_as_good_as_any(kind: int, bits: int) -> None:
    x = np.random.default_rng(1).laplace(0, 1, 3000).astype(np.float32)
    t = np.unique(
        np.array(_kernels.quantizer_levels(kind, bits)[1 if kind == SYMMETRIC and bits > 1 else 0 :])
    )
    found = error(x, quantized(x, kind, bits, "mse"))
    for unit in np.geomspace(0.05, 2, 120) * np.abs(x).max() / np.abs(t).max():
        nearest = t[np.searchsorted((t[1:] + t[:-1]) / 2, x / unit)] * unit
        assert found < 1.05 * error(x, nearest.astype(np.float32))


@pytest.mark.parametrize("kind", [SYMMETRIC, SIGN_MAGNITUDE, POWER_OF_TWO])
@pytest.mark.parametrize("bits", range(1, 9))
def test_the_exponential_clip_is_best_for_exponential_magnitudes(kind: int, bits: int) -> None:
    magnitude = -np.log((np.arange(100_000) + 0.5) / 100_000)  # quantiles: no noise
    x = np.concatenate((magnitude, -magnitude)).astype(np.float32)
    found = error(x, quantized(x, kind, bits, "exponential"))
    reach = levels._reach(kind, bits)
    clip = levels._exponential_clip(kind, bits, False)
    t = np.unique(
        np.array(_kernels.quantizer_levels(kind, bits)[1 if kind == SYMMETRIC and bits > 1 else 0 :])
    )
    for factor in (0.7, 0.85, 1.2, 1.4):
        unit = clip * factor / reach
        nearest = t[np.searchsorted((t[1:] + t[:-1]) / 2, x / unit)] * unit
        assert found < 1.002 * error(x, nearest.astype(np.float32))


def test_clipping_never_follows_a_single_outlier_at_few_bits() -> None:
    x = np.random.default_rng(0).normal(0, 1, 4096).astype(np.float32)
    x[7] = 40
    for kind in KINDS:
        for bits in (2, 3):
            rule = clip_rule("auto", kind, bits)
            assert rule[0] == "mse"
            assert error(x, quantized(x, kind, bits, *rule)) < error(x, quantized(x, kind, bits, "range"))


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0, 99.97, 100.0])
def test_percentiles_keep_that_many(percent: float) -> None:
    x = np.random.default_rng(0).laplace(0, 1, 10_001).astype(np.float32)
    parameters = levels.choose(x, np.zeros(x.size, np.int64), 1, SIGN_MAGNITUDE, 8, "percentile", percent, 0)
    unit = quantizers.read_parameters(parameters, SIGN_MAGNITUDE, 8).unit[0]
    kept = (np.abs(x) <= 256 * unit).mean() * 100
    assert abs(kept - percent) < 0.3
    fast = np.empty(3, np.uint8)
    rule = clip_rule(Percentile(percent), SIGN_MAGNITUDE, 8)
    _kernels.Quantizer().choose(x.view(np.uint8), 1, x.size, 1, SIGN_MAGNITUDE, 8, *rule, fast)
    assert fast.tobytes() == parameters


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_value_goes_to_its_nearest_level(kind: int, bits: int) -> None:
    x = np.random.default_rng(bits).laplace(0, 1, 2000).astype(np.float32)
    p = np.empty(_kernels.parameter_bytes(kind, 1), np.uint8)
    _kernels.Quantizer().choose(x.view(np.uint8), 1, x.size, 1, kind, bits, "exponential", 0, 0, p)
    parameters = quantizers.read_parameters(p.tobytes(), kind, bits)
    codes = np.arange(1 << bits, dtype=np.uint8)[1 if kind == SYMMETRIC and bits > 1 else 0 :]
    every = quantizers.values(codes, np.zeros(codes.size, np.int64), parameters).astype(np.float64)
    distance = np.abs(x[:, None] - every).min(axis=1)
    # tables and powers of two: the position is rounded to whole units first
    slack = parameters.unit[0] * (1e-3 if kind <= SIGN_MAGNITUDE else 1.001)
    assert (np.abs(x - quantized(x, kind, bits, "exponential")) <= distance + slack + 1e-6).all()


# --- steps, seeds and costs ---


def stepped(x: Floats, step: float, bits: int = 8, wide: bool = False) -> _kernels.Quantizer:
    q, parameters = _kernels.Quantizer(), np.empty(3, np.uint8)
    q.choose(
        x.view(np.uint8), 1, x.size, 1, SYMMETRIC, bits, *clip_rule("auto", SYMMETRIC, bits, step), parameters
    )
    assert q.load(parameters, 1, SYMMETRIC, bits, wide) == -1
    return q


def test_a_given_step_saturates_codes_but_not_indices() -> None:
    x = np.array([0, 0.24, 0.26, -0.26, 63.5, 64, -63.5, -80, 1000, -16384, 16383.6, 1e9, -1e9], np.float32)
    q = stepped(x, 0.5, wide=True)
    codes, indices, out = np.empty(x.size, np.uint8), np.empty(x.size, np.int16), np.empty_like(x)
    q.codes(x.view(np.uint8), 1, x.size, codes)
    assert (codes.astype(int) - 128).tolist() == [
        0,
        0,
        1,
        -1,
        *[127, 127, -127, -127, 127],
        -127,
        *[127, 127, -127],
    ]
    q.indices(x.view(np.uint8), 1, x.size, indices)
    assert indices.tolist() == [0, 0, 1, -1, 127, 128, -127, -160, 2000, -32768, 32767, 32767, -32768]
    q.index_values(indices, 1, x.size, out.view(np.uint8))
    assert out.tolist() == (indices * 0.5).tolist()
    long = np.random.default_rng(0).normal(0, 100, 1000).astype(np.float32)
    q = stepped(long, 0.25, wide=True)
    indices = np.empty(long.size, np.int16)
    q.indices(long.view(np.uint8), 1, long.size, indices)
    assert np.array_equal(indices, np.rint(long * 4))


def test_wide_parameters_are_checked_for_16_bit_steps() -> None:
    largest = (
        bytes([111]) + np.float16(65504).tobytes()
    )  # 65504 * 2^111 * 128 is finite; times 32768 it is not
    q = _kernels.Quantizer()
    assert q.load(bytes([100]) + largest[1:], 1, SYMMETRIC, 8) == -1
    assert q.load(bytes([100]) + largest[1:], 1, SYMMETRIC, 8, True) == 0
    with pytest.raises(ValueError, match="wide"):
        stepped(np.ones(3, np.float32), 1).indices(
            np.ones(3, np.float32).view(np.uint8), 1, 3, np.empty(3, np.int16)
        )
    with pytest.raises(ValueError, match="symmetric"):
        q.load(bytes(5), 1, UNIFORM, 8, True)


def test_stochastic_rounding_is_unbiased_and_follows_its_seed() -> None:
    n = 200_000
    for value in (0.0, 0.1, 0.5, 2.75, -1.3, -4.999):
        x = np.full(n, value, np.float32)
        q, codes, again = stepped(x, 1.0), np.empty(n, np.uint8), np.empty(n, np.uint8)
        q.codes(x.view(np.uint8), 1, n, codes, 7)
        q.codes(x.view(np.uint8), 1, n, again, 7)
        assert np.array_equal(codes, again)
        steps = codes.astype(int) - 128
        fraction = value - math.floor(value)
        assert set(np.unique(steps)) <= {math.floor(value), math.floor(value) + 1}
        assert abs(steps.mean() - value) < 5 * math.sqrt(fraction * (1 - fraction) / n) + 2.0**-14
    x = np.full(n, 0.5, np.float32)
    q = stepped(x, 1.0)
    drawn = []
    for seed in (0, 1, 2, 2**32, 2**63):
        q.codes(x.view(np.uint8), 1, n, codes, seed)
        drawn.append(codes.astype(float) - 128.5)
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlation).max() < 5 / math.sqrt(n)
    for lag in (1, 2, 64, 512):
        assert abs((drawn[0][lag:] * drawn[0][:-lag]).mean() * 4) < 5 / math.sqrt(n)
    part = np.empty(1000, np.uint8)  # the draw of an element depends on its index alone
    q.codes(x[:1000].view(np.uint8), 1, 1000, part, 2**63)
    assert np.array_equal(part, codes[:1000])


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3, 5.0])
def test_optimised_codes_have_the_least_cost_of_all(bits: int, rate: float) -> None:
    x = np.random.default_rng(bits).laplace(0, 2, 3000).astype(np.float32)
    step = 6 / (1 << bits)
    costs = np.random.default_rng(9).integers(0, 2600, 1 << bits, dtype=np.uint16)
    q = stepped(x, step, bits)
    q.weigh(costs, rate)
    codes = np.empty(x.size, np.uint8)
    q.codes(x.view(np.uint8), 1, x.size, codes)
    lowest = 1 if bits > 1 else 0
    position = np.clip(
        x.astype(np.float64) / step + ((1 << (bits - 1)) if bits > 1 else 0.5), 0, (1 << bits) - 1
    )
    every = np.arange(lowest, 1 << bits)
    total = (position[:, None] - every) ** 2 + rate * costs[every] / 256
    taken = (position - codes) ** 2 + rate * costs[codes] / 256
    # the position is seen to 1/64 of a step, the unit to 11 bits
    assert (taken <= total.min(axis=1) + (1 << bits) * (1 / 32 + 2**-9)).all()
    assert (taken - total.min(axis=1)).mean() < 1e-2
    if rate == 0:
        assert (np.abs(position - codes) <= np.abs(position[:, None] - every).min(axis=1) + 0.1).all()


def test_optimised_codes_trade_a_little_error_for_many_bits() -> None:
    """At a Laplacian source and its ideal code lengths."""
    x = np.random.default_rng(0).laplace(0, 1, 50_000).astype(np.float32)
    step = 0.8
    plain, cheap = np.empty(x.size, np.uint8), np.empty(x.size, np.uint8)
    q = stepped(x, step)
    q.codes(x.view(np.uint8), 1, x.size, plain)
    share = (np.bincount(plain, minlength=256) + 0.5) / (x.size + 128)
    costs = np.minimum(-np.log2(share) * 256, 65535).astype(np.uint16)
    q.weigh(costs, 0.1)
    q.codes(x.view(np.uint8), 1, x.size, cheap)
    bits = [float(costs[codes].mean() / 256) for codes in (plain, cheap)]
    errors = [error(x, ((codes.astype(np.float32) - 128) * np.float32(step))) for codes in (plain, cheap)]
    assert bits[1] < 0.99 * bits[0]
    lagrangian = [e / step**2 + 0.1 * b for e, b in zip(errors, bits, strict=True)]
    assert lagrangian[1] < lagrangian[0]


# --- refusals ---


def test_what_cannot_be_is_refused() -> None:
    data, q = np.ones(10, np.float32).view(np.uint8), _kernels.Quantizer()
    with pytest.raises(ValueError, match="rule"):
        q.choose(data, 1, 10, 1, UNIFORM, 4, "best", 0, 0, np.empty(5, np.uint8))
    for rule, low, high in (("percentile", 0, 0), ("percentile", 101, 0), ("step", 0, 0), ("pair", 1, 1)):
        with pytest.raises(ValueError):
            q.choose(data, 1, 10, 1, UNIFORM, 4, rule, low, high, np.empty(5, np.uint8))
    for kind, bits in ((0, 4), (7, 4), (UNIFORM, 0), (UNIFORM, 9)):
        with pytest.raises(ValueError):
            q.load(bytes(5), 1, kind, bits)
        with pytest.raises(ValueError):
            _kernels.quantizer_levels(kind, bits)
    with pytest.raises(ValueError, match="costs"):
        q.weigh(np.zeros(4, np.uint16), 0.1)
    assert q.load(bytes(5), 1, LAPLACIAN, 2) == -1
    with pytest.raises(ValueError, match="evenly"):
        q.weigh(np.zeros(4, np.uint16), 0.1)
    with pytest.raises(ValueError, match="evenly"):
        q.encode(data, 1, 10, np.empty(3, np.uint8), seed=1)
    assert q.load(bytes(3), 1, SYMMETRIC, 2) == -1
    for costs, rate in (
        (np.zeros(3, np.uint16), 0.1),
        (np.zeros(4, np.uint16), -1.0),
        (np.zeros(4, np.uint16), math.nan),
    ):
        with pytest.raises(ValueError):
            q.weigh(costs, rate)
    with pytest.raises(ValueError, match="step"):
        clip_rule("auto", LAPLACIAN, 4, step=0.1)
    with pytest.raises(ValueError, match="percent"):
        Percentile(0)


@pytest.mark.parametrize("kind", KINDS)
def test_levels_that_are_not_finite_are_refused(kind: int) -> None:
    q = _kernels.Quantizer()
    size = _kernels.parameter_bytes(kind, 1) - 3
    for half in (0x7C00, 0x7E00, 0x8000, 0xFFFF):  # infinite, not a number, negative zero, negative
        assert q.load(bytes([0]) + half.to_bytes(2, "little") + bytes(size), 1, kind, 3) == 0
    huge = bytes([111]) + np.float16(65504).tobytes() + (b"\xff\x7f" if size else b"")
    assert q.load(huge, 1, kind, 8) == (0 if kind != SYMMETRIC else q.load(huge, 1, kind, 8))
    with (
        pytest.raises(ValueError, match="no parameters")
        if q.load(huge, 1, kind, 8) == 0
        else pytest.raises(ValueError)
    ):
        q.encode(np.zeros(3, np.uint8), 1, 1, np.empty(1, np.uint8))
