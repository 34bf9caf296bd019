"""The share of the frame rate that the limits leave: set in proportion, before a limit is reached."""

from __future__ import annotations

import math

__all__ = ["Governor"]

_DEADBAND = 0.02
"""Changes of the share by less than this part of it are not worth a change of the operating point."""


class Governor:
    """The share of the full frame rate, 0 to 1.

    How much load a full share would be is not modelled but measured: load over share, both through the same
    low-pass. The share asked for is the load that is permitted over that; as the load follows, this settles
    where the load is what is permitted, whatever part of it does not depend on the rate. Down at once, up
    at a bounded rate.

    Args:
        rise_s: time for a rise from nothing to everything [s].
        settle_s: time constant of the low-pass; longer than the load takes to follow the rate [s].
    """

    def __init__(self, rise_s: float = 10.0, settle_s: float = 3.0) -> None:
        self.share = 1.0
        self._exact = 1.0  # without the deadband
        self._rise_s, self._settle_s = rise_s, settle_s
        self._smooth_share, self._smooth_load = 1.0, math.nan
        self._last_s: float | None = None

    def measure(self, load: float, applied: float, now_s: float) -> None:
        """The load of the time since the last call, and the share that was in effect in it."""
        passed_s = 0.0 if self._last_s is None else max(0.0, now_s - self._last_s)
        self._last_s = now_s
        if math.isnan(load) or math.isnan(self._smooth_load):
            self._smooth_share, self._smooth_load = applied, load
            return
        decay = math.exp(-passed_s / self._settle_s)
        self._smooth_share = applied + (self._smooth_share - applied) * decay
        self._smooth_load = load + (self._smooth_load - load) * decay

    def share_for(self, most_load: float) -> float:
        """The share at which the load is the one given; 1 where nothing is known."""
        if math.isnan(most_load) or math.isnan(self._smooth_load) or self._smooth_load <= 0:
            return 1.0
        return self._smooth_share * max(0.0, most_load) / self._smooth_load

    def lift(self, share: float) -> None:
        """Not lower than that, until the next `update` finds that it has to be."""
        self._exact = max(self._exact, min(1.0, share))

    def update(self, wanted: float, passed_s: float) -> float:
        """The share from now on.

        Args:
            wanted: the least of the shares that the limits leave; above 1 counts as 1.
            passed_s: time since the last call [s].
        """
        self._exact = min(1.0, max(0.0, wanted), self._exact + passed_s / self._rise_s)
        if self._exact in (0.0, 1.0) or abs(self._exact - self.share) >= _DEADBAND * self.share:
            self.share = self._exact
        return self.share
