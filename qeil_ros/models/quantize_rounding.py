"""Rounding of weights that looks at what the layer does with them: GPTQ on two candidates for each weight.

The nearest level makes each weight's error small; what matters is the error of the layer's output on the
inputs that it really gets, tr(E H E') with H = sum of x x'. GPTQ (Frantar et al. 2022, arXiv 2210.17323,
after Optimal Brain Surgeon) rounds one input's weights after the other and lets the weights still to come
make up for the error. Here each weight may only go to one of the two levels around it (as in AdaRound, arXiv
2004.10568): then a single bit tells the choice, and one set of codes keeps serving several widths.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curvature"]

Floats = NDArray[np.float32]

DAMPING = 0.01
_BLOCK = 128


class Curvature:
    """How a layer's output error depends on its weights' errors; one for all layers that read a tensor.

    Args:
        hessian: [inputs, inputs], the sum of x x' over the layer's inputs.
        damping: added to the diagonal, as a share of its mean: few inputs are not to be trusted too far.
    """

    def __init__(self, hessian: NDArray[np.floating], damping: float = DAMPING) -> None:
        self.hessian, self._damping = hessian, damping

    @cached_property
    def _factor(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The order of the inputs, and the upper Cholesky factor of the inverse in that order."""
        square = np.array(self.hessian, np.float64)
        diagonal = square.diagonal()
        silent = diagonal <= 0  # inputs that are always zero: their weights do not matter
        square[silent, silent] = max(float(diagonal.mean()), 1e-12)
        square[np.diag_indices(len(square))] += self._damping * square.diagonal().mean()
        # The strongest inputs first, while many can still make up for their errors.
        order = np.argsort(-square.diagonal(), kind="stable")
        return order, np.linalg.cholesky(np.linalg.inv(square[np.ix_(order, order)])).T.copy()

    def choose(self, weights: Floats, near: Floats, other: Floats) -> NDArray[np.bool_]:
        """Which weights [channels, inputs] should take `other` instead of `near`."""
        order, factor = self._factor
        inputs = len(order)
        left = weights[:, order].astype(np.float64)
        first, second = near[:, order], other[:, order]
        moved = np.zeros(weights.shape, bool)
        errors = np.empty((len(weights), _BLOCK))
        for start in range(0, inputs, _BLOCK):
            stop = min(start + _BLOCK, inputs)
            for column in range(start, stop):
                wanted = left[:, column]
                moves = np.abs(wanted - second[:, column]) < np.abs(wanted - first[:, column])
                taken = np.where(moves, second[:, column], first[:, column])
                error = (wanted - taken) / factor[column, column]
                left[:, column:stop] -= np.outer(error, factor[column, column:stop])
                moved[:, column], errors[:, column - start] = moves, error
            left[:, stop:] -= errors[:, : stop - start] @ factor[start:stop, stop:]
        found = np.empty_like(moved)
        found[:, order] = moved
        return found

    def error(self, weights: Floats, quantized: Floats) -> float:
        """The relative L2 error of the layer's outputs: sqrt(tr(E H E') / tr(W H W')), E = W - quantized."""
        size = self._energy(weights)
        return float(np.sqrt(self._energy(weights - quantized) / size)) if size > 0 else 0.0

    def _energy(self, matrix: Floats) -> float:
        return max(float(np.einsum("ij,ij->", matrix @ self.hessian, matrix)), 0.0)
