"""Every quantizer, rule, granularity and element type: the kernels and the reference agree to the byte."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qeil_ros import _kernels
from qeil_ros.codec.reference import levels, pack, quantizers

KINDS = {"uniform": 1, "symmetric": 2, "sign_magnitude": 3, "power_of_two": 4, "laplacian": 5, "gaussian": 6}
EVEN = (1, 2, 3)
DTYPES = {1: np.float32, 2: np.float16, 3: np.uint8, 4: np.int8}
N = 3001
GROUPS = {"tensor": (N, 1), "columns": (1, 7), "rows": (100, 3), "groups": (64, 47)}


def tensor(seed: int, dtype: int = 1, n: int = N) -> NDArray[np.generic]:
    rng = np.random.default_rng(seed)
    x = rng.laplace(0.3, 1, n) * np.where(rng.random(n) < 0.01, 8, 1)
    if dtype > 2:
        x = np.clip(x * 20 + (60 if dtype == 3 else 0), 0 if dtype == 3 else -128, 127)
    return x.astype(DTYPES[dtype])


def sets_of(n: int, inner: int, count: int) -> NDArray[np.int64]:
    return np.arange(n) // inner % count


def chosen(
    x: NDArray[np.generic],
    groups: tuple[int, int],
    kind: int,
    bits: int,
    rule: str,
    low: float = 0,
    high: float = 0,
) -> bytes:
    dtype = next(key for key, value in DTYPES.items() if value == x.dtype)
    parameters = np.empty(_kernels.parameter_bytes(kind, groups[1]), np.uint8)
    _kernels.Quantizer().choose(x.view(np.uint8), dtype, *groups, kind, bits, rule, low, high, parameters)
    return parameters.tobytes()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_integer_levels_are_those_of_the_reference(kind: int, bits: int) -> None:
    t = quantizers.integer_levels(kind, bits)
    assert _kernels.quantizer_levels(kind, bits) == t.tolist()
    assert (np.diff(t) >= 0).all() and len(t) == 1 << bits
    used = t[1:] if kind in (2, 4) and bits > 1 else t
    assert kind == 1 or np.array_equal(used, -used[::-1])


@pytest.mark.parametrize("rule", ["range", "mse", "percentile", "exponential", "pair", "step"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_chosen_parameters_are_those_of_the_reference(kind: int, rule: str) -> None:
    low, high = {"percentile": (97.5, 0), "pair": (-1.5, 2.25), "step": (0.13, 0)}.get(rule, (0, 0))
    if rule == "step" and kind not in EVEN:
        with pytest.raises(ValueError, match="step"):
            chosen(tensor(0), GROUPS["tensor"], kind, 4, rule, low, high)
        return
    for bits in range(1, 9):
        for number, groups in enumerate(GROUPS.values()):
            dtype = (bits + number) % 4 + 1
            x = tensor(bits, dtype)
            expected = levels.choose(
                x.astype(np.float32), sets_of(N, *groups), groups[1], kind, bits, rule, low, high
            )
            assert chosen(x, groups, kind, bits, rule, low, high) == expected, (bits, groups, x.dtype)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_sampled_set_is_searched_as_in_the_reference(kind: int) -> None:
    x = tensor(3, n=20_000)
    x[777] = 300  # which the sample lacks
    for bits in (2, 5):
        expected = levels.choose(x.astype(np.float32), np.zeros(x.size, np.int64), 1, kind, bits, "mse", 0, 0)
        assert chosen(x, (x.size, 1), kind, bits, "mse") == expected


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_and_values_are_those_of_the_reference(kind: int, bits: int) -> None:
    costs = np.random.default_rng(bits).integers(0, 3000, 1 << bits, dtype=np.uint16)
    for number, (inner, count) in enumerate(GROUPS.values()):
        dtype = (bits + number) % 4 + 1
        x = tensor(10 * bits + number, dtype)
        data, sets = x.view(np.uint8), sets_of(N, inner, count)
        parameters = chosen(x, (inner, count), kind, bits, "exponential")
        p = quantizers.read_parameters(parameters, kind, bits)
        q = _kernels.Quantizer()
        assert q.load(parameters, count, kind, bits) == -1
        seeds = [None, 0, 2**64 - 1] if kind in EVEN else [None]
        codes, packed = np.empty(N, np.uint8), np.empty(-(-N * bits // 8), np.uint8)
        for seed in seeds:
            expected = quantizers.codes(x.astype(np.float32), sets, p, seed)
            q.codes(data, dtype, inner, codes, seed)
            q.encode(data, dtype, inner, packed, seed)
            assert np.array_equal(codes, expected), (seed, x.dtype)
            assert packed.tobytes() == pack(expected, bits)
        q.codes(data, dtype, inner, codes)
        q.encode(data, dtype, inner, packed)
        exact = quantizers.values(codes, sets, p)
        for out in (np.empty(N, np.float32), np.empty(N, np.float16), np.empty_like(x)):
            kind_of = next(key for key, value in DTYPES.items() if value == out.dtype)
            again = np.empty_like(out)
            q.values(codes, kind_of, inner, out.view(np.uint8))
            assert q.decode(packed, kind_of, inner, again.view(np.uint8))
            assert out.tobytes() == again.tobytes()
            if out.dtype.kind == "f":
                assert np.array_equal(out, np.clip(exact, -65504, 65504).astype(out.dtype))
            else:
                limits = np.iinfo(out.dtype)
                assert np.array_equal(out, np.rint(np.clip(exact, limits.min, limits.max)))
        if kind in EVEN:
            q.weigh(costs, 0.2)
            q.weigh(costs, 0.1)
            q.codes(data, dtype, inner, codes)
            expected = quantizers.codes(x.astype(np.float32), sets, p, costs=costs, rate=0.1)
            assert np.array_equal(codes, expected)
            q.encode(data, dtype, inner, packed)
            assert packed.tobytes() == pack(expected, bits)
