"""The basis of the features: what it must preserve, and that it does what it is for."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.models.basis import Basis, Statistics
from qeil_ros.models.schema import ModelError


def learned(features: np.ndarray, axis: int, components: int | None = None) -> tuple[Basis, np.ndarray]:
    statistics = Statistics(features.shape[1:], axis)
    for one in features:
        statistics.add(one)
    return statistics.basis(components)


def correlated(images: int, shape: tuple[int, ...], axis: int, seed: int = 0) -> np.ndarray:
    """Channels that are mixtures of sources of very different strengths, about a mean of their own."""
    rng = np.random.default_rng(seed)
    channels = shape[axis]
    mixing = rng.normal(size=(channels, channels)) * 0.5 ** np.arange(channels)
    positions = [n for i, n in enumerate(shape) if i != axis % len(shape)]
    x = rng.normal(size=(images, *positions, channels)) @ mixing.T + rng.normal(size=(*positions, channels))
    return np.moveaxis(x, -1, axis + 1 if axis >= 0 else axis).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([((5, 8), -1), ((8, 3, 4), 0), ((6, 4, 8), -1)]), st.integers(0, 10**6))
def test_forward_and_inverse_are_each_others_inverse(case, seed):
    shape, axis = case
    x = correlated(80, shape, axis, seed)
    basis, _ = learned(x, axis)
    assert basis.shape == shape
    np.testing.assert_allclose(basis.inverse(basis.forward(x[0])), x[0], atol=1e-4 * np.abs(x).max())


def test_components_are_uncorrelated_and_fall_in_variance():
    x = correlated(400, (6, 8), -1)
    basis, variance = learned(x, -1)
    y = np.stack([basis.forward(one) for one in x]).reshape(-1, 8).astype(np.float64)
    covariance = y.T @ y / len(y)
    np.testing.assert_allclose(np.diag(covariance), variance, rtol=1e-3, atol=1e-6)
    off = covariance - np.diag(np.diag(covariance))
    assert np.abs(off).max() < 1e-3 * variance[0]
    assert (np.diff(variance) <= 0).all()


def test_the_same_as_an_eigendecomposition_of_numpys_covariance():
    x = correlated(5000, (1, 6), -1, seed=3)
    basis, variance = learned(x, -1)
    want = np.linalg.eigvalsh(np.cov(x.reshape(-1, 6).T, bias=True))[::-1]
    np.testing.assert_allclose(variance, want, rtol=1e-4)
    assert basis.matrix.shape == (6, 6)


def test_an_error_is_as_large_in_either_basis():
    x = correlated(100, (4, 8), -1)
    basis, _ = learned(x, -1)
    y = basis.forward(x[0])
    noise = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
    assert np.linalg.norm(basis.inverse(y + noise) - x[0]) == pytest.approx(np.linalg.norm(noise), rel=1e-4)


def test_fewer_components_lose_the_variance_of_the_others():
    x = correlated(2000, (4, 8), -1)
    basis, variance = learned(x, -1, components=3)
    assert basis.shape == (4, 3)
    lost = np.mean([((basis.inverse(basis.forward(one)) - one) ** 2).sum(axis=-1).mean() for one in x])
    assert lost == pytest.approx(variance[3:].sum(), rel=0.02)


def test_integer_features_come_back_rounded_and_saturated():
    x = np.random.default_rng(1).integers(0, 256, (200, 4, 8)).astype(np.uint8)
    basis, _ = learned(x, -1)
    np.testing.assert_array_equal(basis.inverse(basis.forward(x[0]), np.uint8), x[0])
    far = basis.forward(x[0]) * 50
    assert basis.inverse(far, np.uint8).dtype == np.uint8


def test_a_basis_is_read_as_it_was_written(tmp_path):
    basis, _ = learned(correlated(100, (8, 2, 3), 0), 0)
    basis.write(tmp_path / "basis.npz")
    again = Basis.read(tmp_path / "basis.npz")
    np.testing.assert_array_equal(again.matrix, basis.matrix)
    np.testing.assert_array_equal(again.mean, basis.mean)
    assert again.axis == basis.axis


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY\x01\x00garbage"])
def test_a_file_that_is_no_basis_is_refused(tmp_path, content):
    (tmp_path / "basis.npz").write_bytes(content)
    with pytest.raises(ModelError, match=r"basis\.npz: cannot be read"):
        Basis.read(tmp_path / "basis.npz")


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "basis.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("mean", "matrix", "axis"):
            with archive.open(f"{name}.npy", "w") as member:
                for _ in range(100):
                    member.write(bytes(1 << 20))
    assert (tmp_path / "basis.npz").stat().st_size < 1 << 20
    with pytest.raises(ModelError, match="unpacks to 314572800 bytes"):
        Basis.read(tmp_path / "basis.npz")


def test_a_pickle_in_the_file_is_not_run(tmp_path):
    np.savez(tmp_path / "basis.npz", mean=np.array([{}], object), matrix=np.eye(2), axis=0)
    with pytest.raises(ModelError, match="cannot be read"):
        Basis.read(tmp_path / "basis.npz")


@pytest.mark.parametrize(
    ("mean", "matrix", "axis", "said"),
    [
        (np.zeros((2, 3), np.float32), np.eye(4, dtype=np.float32), 1, "does not fit"),
        (np.zeros((2, 3, 4), np.float32), np.eye(3, dtype=np.float32), 1, "0 or the last"),
        (np.zeros((2, 3), np.float32), 2 * np.eye(3, dtype=np.float32), 1, "not orthonormal"),
        (
            np.zeros((2, 2), np.float32),
            np.float32(3e38) * np.float32([[1, 1], [1, -1]]),
            1,
            "not orthonormal",
        ),
        (np.zeros((2, 3), np.float32), np.eye(3), 1, "float32"),
        (np.full((2, 3), np.nan, np.float32), np.eye(3, dtype=np.float32), 1, "not finite"),
    ],
)
def test_wrong_arrays_are_refused(mean, matrix, axis, said):
    with pytest.raises(ModelError, match=said):
        Basis(mean, matrix, axis)


def test_too_few_images_are_refused():
    x = correlated(10, (2, 8), -1)
    with pytest.raises(ModelError, match="10 images are too few for a basis of 8 channels; want 40"):
        learned(x, -1)


def test_features_without_positions_are_refused():
    with pytest.raises(ModelError, match="2 dimensions"):
        Statistics((1024,), 0)
