"""The layer bound on real networks, and widths by layer against the single width."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.planning import layers
from qeil_ros.planning.weight_quantizers import uniform


def forward(weights, x):
    """ReLU between the layers; x [inputs, samples]."""
    for matrix in weights[:-1]:
        x = np.maximum(matrix @ x, 0)
    return weights[-1] @ x


def random_network(rng, sizes, heavy=False):
    draw = rng.laplace if heavy else rng.normal
    return [draw(size=(b, a)) / np.sqrt(a) for a, b in itertools.pairwise(sizes)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["entrywise", "induced"]), st.integers(1, 6))
def test_the_bound_holds(seed, norm, bits):
    rng = np.random.default_rng(seed)
    weights = random_network(rng, rng.integers(1, 9, rng.integers(2, 6)).tolist())
    quantized = [uniform(matrix, bits) for matrix in weights]
    x = rng.normal(size=(weights[0].shape[1], 50))
    x /= np.abs(x).sum(axis=0)
    worst = np.abs(forward(weights, x) - forward(quantized, x)).sum(axis=0).max()
    assert worst <= layers.output_bound(weights, quantized, norm) * (1 + 1e-9)
    assert layers.output_bound(weights, quantized, "induced") <= layers.output_bound(weights, quantized) * (
        1 + 1e-9
    )


def test_a_l_is_equation_14():
    weights = [np.diag([1.0, -2.0]), np.array([[3.0, 1.0], [0.0, 1.0]]), np.array([[0.5, -0.5]])]
    norms, taus = [3.0, 5.0, 1.0], [0.1, 0.2, 0.3]
    want = [(5.0 + 0.2) * (1.0 + 0.3), 3.0 * (1.0 + 0.3), 3.0 * 5.0]
    assert [layers.matrix_norm(w) for w in weights] == norms
    np.testing.assert_allclose(np.exp(layers.log_sensitivities(weights, taus)), want)
    np.testing.assert_allclose(np.exp(layers.log_sensitivities(weights)), [5.0, 3.0, 15.0])
    assert layers.matrix_norm(weights[1], "induced") == 3.0
    # a deep network overflows as a number and not as a logarithm
    deep = [np.full((100, 100), 100.0)] * 80
    assert np.isfinite(layers.log_sensitivities(deep)).all()
    assert layers.output_bound(deep, [w + 1 for w in deep]) == math.inf


def test_the_surrogate_is_equation_15():
    one, other = [np.array([[1.0, -2.0]])], [np.array([[0.5, -2.25]])]
    assert layers.surrogate(one, other) == 0.75


def test_h_is_found():
    d = np.array([1.0, 2.0, 4.0])
    found = layers.sensitivity(d, 3 * d)
    assert (found.bound, found.typical, found.slope) == pytest.approx((3, 3, 3))
    assert found.correlation == pytest.approx(1.0) and found.count == 3
    assert layers.sensitivity(d, [3.0, 9.0, 12.0]).bound == 4.5
    with pytest.raises(ValueError, match="2 or more pairs"):
        layers.sensitivity([1.0], [1.0])
    with pytest.raises(ValueError, match="must be positive"):
        layers.sensitivity([1.0, 0.0], [1.0, 1.0])


def test_h_from_a_network_predicts_its_output():
    rng = np.random.default_rng(4)
    weights = random_network(rng, (16, 32, 32, 8), heavy=True)
    x = rng.normal(size=(16, 200))
    x /= np.abs(x).sum(axis=0)
    pairs = []
    for bits in range(2, 9):
        quantized = [uniform(w, bits) for w in weights]
        error = np.abs(forward(weights, x) - forward(quantized, x)).sum(axis=0).mean()
        pairs.append((layers.surrogate(weights, quantized), error))
    assert layers.sensitivity(*zip(*pairs, strict=True)).correlation > 0.99


# --- a width for each layer


def best_by_force(sizes, table, mean_bits):
    budget = math.floor(mean_bits * sum(sizes) + 1e-9)
    return min(
        sum(table[layer, b - 1] for layer, b in enumerate(bits))
        for bits in itertools.product(range(1, table.shape[1] + 1), repeat=len(sizes))
        if sum(n * b for n, b in zip(sizes, bits, strict=True)) <= budget
    )


def test_allocation_is_near_the_optimum():
    """Equal to it where layers are of one size and convex; on the whole within 1 % in the median."""
    rng = np.random.default_rng(9)
    ratios = []
    for case in range(150):
        count = int(rng.integers(2, 5))
        sizes = [10] * count if case % 2 else rng.integers(1, 100, count).tolist()
        table = rng.exponential(1, (count, 1)) * 0.5 ** np.arange(1, 6)
        if case % 4 > 1:  # measured tables are not convex
            table = table * rng.uniform(0.5, 1.5, table.shape)
        mean_bits = float(rng.integers(1, 5)) if case % 3 else rng.uniform(1, 5)
        found = layers.allocate(sizes, table, mean_bits)
        assert found.mean_bits <= mean_bits + 1e-9
        best = best_by_force(sizes, table, mean_bits)
        assert found.error >= best * (1 - 1e-12)
        single = table[:, math.floor(mean_bits) - 1].sum()
        assert found.error <= single * (1 + 1e-12)
        if case % 4 == 1:
            assert found.error == pytest.approx(best)
        ratios.append(found.error / best)
    assert np.median(ratios) < 1.01 and max(ratios) < 2


def output_error(weights, bits, x):
    quantized = [uniform(w, b) for w, b in zip(weights, bits, strict=True)]
    return float(np.abs(forward(weights, x) - forward(quantized, x)).mean())


def trained(rng, sizes, steps=300):
    """A small ReLU autoencoder of structured data, by Adam: weights as training leaves them."""
    weights = [w * np.sqrt(2) for w in random_network(rng, sizes)]
    basis = rng.normal(size=(sizes[0], 6)) * 0.8 ** np.arange(6)
    data = np.maximum(basis @ rng.normal(size=(6, 512)), 0)
    data /= np.abs(data).sum(axis=0).mean()
    first, second = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    for step in range(1, steps + 1):
        acts = [data[:, rng.integers(0, 512, 64)]]
        for i, w in enumerate(weights):
            out = w @ acts[-1]
            acts.append(np.maximum(out, 0) if i < len(weights) - 1 else out)
        grad = (acts[-1] - acts[0]) / 64
        for i in reversed(range(len(weights))):
            slope = grad @ acts[i].T
            grad = (weights[i].T @ grad) * (acts[i] > 0)
            first[i] = 0.9 * first[i] + 0.1 * slope
            second[i] = 0.999 * second[i] + 0.001 * slope**2
            scale = np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8
            weights[i] = weights[i] - 3e-3 * first[i] / (1 - 0.9**step) / scale
    return weights, data


SIZES = (32, 64, 128, 64, 16, 64, 128, 64, 32)


@pytest.fixture(scope="module", params=["random", "trained"])
def networks(request):
    """Four networks with inputs for them."""
    found = []
    for seed in range(4):
        rng = np.random.default_rng([17, seed])
        if request.param == "trained":
            found.append(trained(rng, SIZES))
        else:
            found.append((random_network(rng, SIZES, heavy=True), rng.normal(size=(SIZES[0], 256))))
    return found


@pytest.mark.parametrize("mean_bits", [2, 3, 4, 5])
def test_widths_by_layer_beat_the_single_width_at_the_same_average(networks, mean_bits):
    """A lower bound of Eq 13 on every network, and less error at the output in the mean over them."""
    ratios = []
    for weights, x in networks:
        sizes = [w.size for w in weights]
        single = [mean_bits] * len(weights)
        table = layers.errors_of_widths(weights, uniform, 10)
        by_bound, by_error = (layers.allocate(sizes, table**power, mean_bits) for power in (1, 2))

        def bound(bits, weights=weights):
            return layers.output_bound(weights, [uniform(w, b) for w, b in zip(weights, bits, strict=True)])

        assert by_bound.mean_bits <= mean_bits and by_error.mean_bits <= mean_bits
        assert by_bound.error < table[:, mean_bits - 1].sum()
        assert bound(by_bound.bits) < bound(single)
        ratios.append(output_error(weights, by_error.bits, x) / output_error(weights, single, x))
    assert np.exp(np.log(ratios).mean()) < 0.99


def test_without_a_quantizer_the_bound_stands_in(networks):
    for weights, _ in networks:
        table = layers.bounds_of_widths(weights, 8)
        assert (np.diff(table, axis=1) < 0).all()
        found = layers.allocate([w.size for w in weights], table, 4)
        assert found.error < table[:, 3].sum() and len(set(found.bits)) > 1


def test_wrong_tables_are_refused():
    with pytest.raises(ValueError, match=r"errors \[1, 2\] for layers of \[3, 4\]"):
        layers.allocate([3, 4], [[1.0, 0.5]], 1)
    with pytest.raises(ValueError, match=r"mean_bits is 0\.5"):
        layers.allocate([3], [[1.0, 0.5]], 0.5)
    with pytest.raises(ValueError, match="a layer of zeros"):
        layers.bounds_of_widths([np.eye(2), np.zeros((2, 2))], 4)
    with pytest.raises(ValueError, match="want a matrix"):
        layers.matrix_norm(np.ones(3))
    with pytest.raises(ValueError, match="2 errors for 1 layers"):
        layers.log_sensitivities([np.eye(2)], [0.0, 0.0])
