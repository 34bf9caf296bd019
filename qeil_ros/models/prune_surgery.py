"""Which inputs of a layer are least missed, and how what stays makes up for them (Optimal Brain Surgeon).

For outputs W' x, with H the mean of x x' over what the layer really gets, taking the inputs S out costs
tr(W_S' (H^-1_SS)^-1 W_S) when the rest is refitted by least squares, and the refit is a rank-|S| update
(Hassibi and Stork 1993). `remove_units` does this for whole heads, neurons and channels, one after the other
(ZipLM, Kurtic et al. 2023, arXiv 2302.04089); `sparsify` for single weights, column by column (SparseGPT,
Frantar and Alistarh 2023, arXiv 2301.00774).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .prune_rules import Labels

__all__ = ["Reader", "remove_units", "sparsify"]

Matrix = NDArray[np.float64]

DAMPING = 0.01
"""Added to H's diagonal, as a share of its mean: few images are not to be trusted too far."""
_BLOCK = 128
_EXACT_INPUTS = 1024
"""Layers of more inputs are not refitted output by output: it takes the cube of their number."""


@dataclass
class Reader:
    """A layer that reads units: `weights` [inputs, outputs], `moments` [inputs, inputs] of what it gets.

    `units` [inputs] is the unit of each input, -1 for none: what stays, come what may.
    """

    weights: Matrix
    moments: Matrix
    units: Labels


def remove_units(readers: Sequence[Reader], units: int, count: int) -> NDArray[np.bool_]:
    """Which `count` of the units to remove, [units]; the readers' weights are refitted in place, and their
    moments forget the inputs that are gone.

    The cost of a unit is summed over the layers that read it, each in shares of its output's energy.
    """
    removed = np.zeros(units, bool)
    inverses = [_inverse(reader.moments) for reader in readers]
    energies = [max(float(np.einsum("ij,ij->", r.weights, r.moments @ r.weights)), 1e-30) for r in readers]
    step = max(1, units // 64)
    while (left := count - int(removed.sum())) > 0:
        cost = np.zeros(units)
        for reader, inverse, energy in zip(readers, inverses, energies, strict=True):
            cost += _costs(reader, inverse, units, removed) / energy
        cost[removed] = np.inf
        chosen = np.argsort(cost, kind="stable")[: min(step, left)]
        for reader, inverse in zip(readers, inverses, strict=True):
            gone = np.flatnonzero(np.isin(reader.units, chosen))
            if len(gone):
                gain = np.linalg.solve(inverse[np.ix_(gone, gone)], inverse[gone])
                reader.weights -= gain.T @ reader.weights[gone]
                inverse -= inverse[:, gone] @ gain
                reader.weights[gone] = 0
                inverse[gone, :] = inverse[:, gone] = 0
                inverse[gone, gone] = 1
        removed[chosen] = True
    for reader in readers:  # nothing leans on them any more, whichever of its inputs goes next
        lost = np.isin(reader.units, np.flatnonzero(removed))
        reader.moments[lost, :] = reader.moments[:, lost] = 0
    return removed


def sparsify(weights: Matrix, moments: Matrix, sparsity: float, fixed: int = 0) -> Matrix:
    """The weights [inputs, outputs] with that share of them zero and the others refitted.

    Args:
        fixed: this many inputs at the end keep all their weights (the bias).
    """
    inputs = len(weights) - fixed
    order = np.argsort(-moments.diagonal()[:inputs], kind="stable")
    order = np.append(order, np.arange(inputs, len(weights)))
    factor = np.linalg.cholesky(_inverse(moments[np.ix_(order, order)])).T
    left = weights[order].astype(np.float64)
    for start in range(0, inputs, _BLOCK):
        stop = min(start + _BLOCK, inputs)
        cost = (left[start:stop] / factor.diagonal()[start:stop, None]) ** 2
        count = round(sparsity * cost.size)
        zero = np.zeros(cost.size, bool)
        zero[np.argsort(cost, axis=None, kind="stable")[:count]] = True
        zero = zero.reshape(cost.shape)
        for row in range(start, stop):
            error = np.where(zero[row - start], left[row], 0) / factor[row, row]
            left[row + 1 :] -= np.outer(factor[row, row + 1 :], error)
            left[row, zero[row - start]] = 0
    found = np.empty_like(left)
    found[order] = left
    if len(weights) <= _EXACT_INPUTS:
        _refit(found, weights, moments)
    return found


def _refit(sparse: Matrix, weights: Matrix, moments: Matrix) -> None:
    """Sets what is not zero in `sparse` to the least squares that its zeros allow, output by output.

    Column by column the inputs that come early cannot make up for those that come late; this can.
    """
    square = _damped(moments)
    wanted = square @ weights
    for output in range(sparse.shape[1]):
        stays = np.flatnonzero(sparse[:, output])
        if len(stays):
            sparse[stays, output] = np.linalg.solve(square[np.ix_(stays, stays)], wanted[stays, output])


def _costs(reader: Reader, inverse: Matrix, units: int, removed: NDArray[np.bool_]) -> Matrix:
    """What taking each unit out costs the outputs, [units]."""
    order = np.argsort(reader.units, kind="stable")
    order = order[reader.units[order] >= 0]
    present, counts = np.unique(reader.units[order], return_counts=True)
    cost = np.zeros(units)
    for size in np.unique(counts):
        same = present[counts == size]
        same = same[~removed[same]]
        if not len(same):
            continue
        rows = order[np.isin(reader.units[order], same)].reshape(len(same), size)
        blocks = inverse[rows[:, :, None], rows[:, None, :]]
        weights = reader.weights[rows]
        cost[same] = (np.linalg.solve(blocks, weights) * weights).sum(axis=(1, 2))
    return cost


def _inverse(moments: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(_damped(moments)), np.float64)


def _damped(moments: Matrix) -> Matrix:
    square = moments.astype(np.float64, copy=True)
    mean = max(float(square.diagonal().mean()), 1e-12)
    square[np.diag_indices(len(square))] += DAMPING * mean
    return square
