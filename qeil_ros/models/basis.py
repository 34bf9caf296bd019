"""The basis in which a cut's features code best, learned once and kept in the model folder.

Channels of a feature map are correlated: a coder that takes them one by one pays for the same thing many
times. In the Karhunen-Loève basis of the channels (the eigenvectors of their covariance) they are not, and
nearly all of the variance lies in a few components, so that most of the others cost almost nothing at the
same squared error. The matrix is orthonormal: an error in the one basis is as large in the other.

The robot subtracts the mean and rotates before coding, the receiver rotates back after decoding; neither the
model's parts nor the bitstream know of it.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .schema import ModelError

__all__ = ["Basis", "Statistics"]

Floats = NDArray[np.float32]

_PRIOR_IMAGES = 8
"""How many images the channel's own mean weighs beside a position's: with few images the latter is noise."""
_MAX_FILE_BYTES = 1 << 28
_ORTHONORMAL = 1e-3


@dataclass(frozen=True)
class Basis:
    """A mean and an orthonormal set of components.

    Attributes:
        mean: [*shape] of the features, float32.
        matrix: [channels, components] float32, components <= channels, columns orthonormal, by falling
            variance. Fewer components than channels: the rest is dropped.
        axis: the channel axis, 0 or the last; not negative.

    Raises:
        ModelError: the arrays do not fit each other or the columns are not orthonormal.
    """

    mean: Floats
    matrix: Floats
    axis: int

    def __post_init__(self) -> None:
        mean, matrix, axis = self.mean, self.matrix, self.axis
        if axis not in (0, mean.ndim - 1):
            raise ModelError(
                f"channel axis {axis} of features {list(mean.shape)}; 0 or the last are possible"
            )
        if (
            matrix.ndim != 2
            or matrix.shape[0] != mean.shape[axis]
            or not 1 <= matrix.shape[1] <= matrix.shape[0]
        ):
            raise ModelError(
                f"a basis {list(matrix.shape)} does not fit features {list(mean.shape)}, axis {axis}"
            )
        if mean.dtype != np.float32 or matrix.dtype != np.float32:
            raise ModelError(f"mean and matrix are {mean.dtype} and {matrix.dtype}; want float32")
        if not (np.isfinite(mean).all() and np.isfinite(matrix).all()):
            raise ModelError("a basis with values that are not finite")
        with np.errstate(over="ignore", invalid="ignore"):
            error = float(np.abs(matrix.T @ matrix - np.eye(matrix.shape[1], dtype=np.float32)).max())
        if not error <= _ORTHONORMAL:  # NaN neither: products of huge values
            raise ModelError(f"the basis is not orthonormal: its columns are off by {error:.2g}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the rotated features, which is what travels."""
        sizes = list(self.mean.shape)
        sizes[self.axis] = self.matrix.shape[1]
        return tuple(sizes)

    def forward(self, features: NDArray[Any]) -> Floats:
        """[*shape of the features] of any element type to rotated ones, float32."""
        centred = np.subtract(features, self.mean, dtype=np.float32)
        if self.axis:
            return np.asarray(centred @ self.matrix)
        return np.asarray((self.matrix.T @ centred.reshape(len(centred), -1)).reshape(self.shape))

    def inverse(self, rotated: Floats, dtype: Any = np.float32) -> NDArray[Any]:
        """Rotated features back to the model's; integer types are rounded and saturate."""
        if self.axis:
            plain = rotated @ self.matrix.T
        else:
            plain = (self.matrix @ rotated.reshape(len(rotated), -1)).reshape(self.mean.shape)
        plain += self.mean
        target = np.dtype(dtype)
        if target.kind == "f":
            return np.asarray(plain.astype(target, copy=False))
        limits = np.iinfo(target)
        return np.asarray(np.clip(np.rint(plain), limits.min, limits.max).astype(target))

    def write(self, path: Path) -> None:
        """As an .npz of `mean`, `matrix` and `axis`."""
        buffer = io.BytesIO()
        np.savez(buffer, mean=self.mean, matrix=self.matrix, axis=np.int64(self.axis))
        path.write_bytes(buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> Basis:
        """Raises ModelError for a file that is not such a basis."""
        try:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise ModelError(f"{path}: is larger than {_MAX_FILE_BYTES} bytes; this is no basis")
            with zipfile.ZipFile(path) as members:  # a small file may hold much that is compressed
                if (size := sum(member.file_size for member in members.infolist())) > _MAX_FILE_BYTES:
                    raise ModelError(f"{path}: unpacks to {size} bytes; this is no basis")
            with np.load(path, allow_pickle=False) as arrays:
                mean, matrix, axis = (arrays[name] for name in ("mean", "matrix", "axis"))
                return cls(mean, matrix, int(axis))
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        except Exception as error:  # zipfile, zlib and numpy each have their own ways to refuse a file
            raise ModelError(f"{path}: cannot be read as a basis: {error}") from error


class Statistics:
    """What a basis is learned from, gathered feature map by feature map in one pass.

    Args:
        shape: of one frame's features, two dimensions or more: a channel axis and positions.
        axis: the channel axis, 0 or the last (-1 too).

    Raises:
        ModelError: features of one dimension, which have no positions to learn a covariance over, or
            another axis.
    """

    def __init__(self, shape: tuple[int, ...], axis: int) -> None:
        if len(shape) < 2:
            raise ModelError(
                f"features {list(shape)} have no positions beside their channels; a basis wants 2 dimensions"
            )
        self.shape, self.axis = shape, axis % len(shape)
        if self.axis not in (0, len(shape) - 1):
            raise ModelError(f"channel axis {axis} of features {list(shape)}; 0 or the last are possible")
        channels = shape[self.axis]
        self.images = 0
        self._sum = np.zeros(shape, np.float64)
        self._products = np.zeros((channels, channels), np.float64)

    def add(self, features: NDArray[Any]) -> None:
        """Takes one frame's features [*shape]."""
        if features.shape != self.shape:
            raise ModelError(f"features {list(features.shape)}, want {list(self.shape)}")
        rows = self._rows(features.astype(np.float64))
        self._sum += features
        self._products += rows.T @ rows
        self.images += 1

    @property
    def enough(self) -> int:
        """Images below which the covariance is a guess: ten positions for every channel."""
        channels = self.shape[self.axis]
        positions = int(np.prod(self.shape)) // channels
        return -(-10 * channels // positions)

    def basis(self, components: int | None = None) -> tuple[Basis, NDArray[np.float64]]:
        """The basis with that many components (None: all), and the variance along each.

        Raises:
            ModelError: no or too few images, or an impossible number of components.
        """
        channels = self.shape[self.axis]
        if self.images < self.enough:
            raise ModelError(
                f"{self.images} images are too few for a basis of {channels} channels; "
                f"want {self.enough} or more"
            )
        if components is not None and not 1 <= components <= channels:
            raise ModelError(f"{components} components; 1 to {channels} are possible")
        mean, covariance = self._moments()
        variance, vectors = np.linalg.eigh(covariance)
        variance, vectors = variance[::-1], vectors[:, ::-1]
        # An eigenvector's sign is arbitrary: the largest entry is positive, whatever library computed it.
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.where(vectors[largest, np.arange(channels)] < 0, -1.0, 1.0)
        kept = slice(0, components)
        matrix = np.ascontiguousarray(vectors[:, kept], dtype=np.float32)
        return Basis(mean.astype(np.float32), matrix, self.axis), np.maximum(variance, 0.0)

    def channel_variance(self) -> NDArray[np.float64]:
        """[channels]: what the channels vary about the mean as they are."""
        return np.maximum(np.diag(self._moments()[1]), 0.0)

    def _moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The mean [*shape], and the channels' covariance about it, over images and positions."""
        own = self._sum / self.images
        positions = tuple(i for i in range(len(self.shape)) if i != self.axis)
        common = own.mean(axis=positions, keepdims=True)
        mean = (self.images * own + _PRIOR_IMAGES * common) / (self.images + _PRIOR_IMAGES)
        # sum (x - m)(x - m)' from the sums of x x' and x
        sums, means = self._rows(self._sum), self._rows(mean)
        cross = sums.T @ means
        scatter = self._products - cross - cross.T + self.images * (means.T @ means)
        return mean, scatter / (self.images * len(means))

    def _rows(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """[positions, channels]."""
        channels = self.shape[self.axis]
        return x.reshape(-1, channels) if self.axis else x.reshape(channels, -1).T
