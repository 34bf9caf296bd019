"""Has the encoder's images screened, and tells what was found; what follows is the parameters' to say."""

from __future__ import annotations

import time
from typing import Any

from numpy.typing import NDArray

from qeil_ros.models.preprocess import InputSpec
from qeil_ros.safety.health_log import HealthLog
from qeil_ros.safety.inputs import Expected, ImageScreen, Problem, ScreenConfig

from .diagnostics import Part
from .encoder_parameters import EncoderParameters
from .recent import Recent

__all__ = ["Screening", "expected"]

REFUSE, OFF = "refuse", "off"
_LAST_S = 60.0
_CONTENT_S = 0.1
_MOST_SHOWN = 3


def expected(spec: InputSpec) -> Expected:
    """What the image preparation gives, for the screen."""
    count = 1 if spec.channels == "mono" else 3
    mean, std = (values * count if len(values) == 1 else values for values in (spec.mean, spec.std))
    last = spec.layout == "NHWC"
    sides = (spec.height, spec.width)
    return Expected(
        (1, *sides, count) if last else (1, count, *sides),
        spec.dtype,
        tuple(spec.scale / s for s in std),
        tuple(-m / s for m, s in zip(mean, std, strict=True)),
        last,
    )


class Screening:
    """From the node's configuration to its cleanup. On the executor's thread alone."""

    def __init__(self, spec: InputSpec, params: EncoderParameters, say: Part) -> None:
        self._expected, self._params, self._say = expected(spec), params, say
        self._log = HealthLog()
        self._took_s = Recent(window_s=10.0)
        for problem in Problem:
            say.count(f"images_{problem.value}", 0)
        self.restart()

    def restart(self) -> None:
        """Another camera: nothing of what was usual holds any more."""
        self._settings = self._asked()
        self._screen = ImageScreen(self._expected, _config(*self._settings))

    def admit(self, image: NDArray[Any], header: Any, now_s: float) -> bool:
        """Whether a prepared image may be encoded."""
        mode = self._params.screen
        if mode == OFF:
            return True
        if (asked := self._asked()) != self._settings:
            self._settings, self._screen.config = asked, _config(*asked)
        started_s = time.perf_counter()
        stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        found = self._screen.check(image, now_s, stamp_ns)
        self._took_s.add(time.perf_counter() - started_s, now_s)
        for suspicion in found:
            kind = suspicion.problem.value
            self._log.add("camera", kind, "", now_s)
            self._say.event(f"images_{kind}", f"image {kind}: {suspicion.reason}")
        return not found or mode != REFUSE

    def report(self, now_s: float) -> None:
        """Sets the values that the node's diagnostics show."""
        self._say.set("image_noise", self._screen.noise)
        self._say.set("image_entropy_bits", self._screen.entropy_bits)
        self._say.set("screen_p50_s", self._took_s.quantiles(0.5, now_s=now_s)[0])
        recent = self._log.recent(now_s, _LAST_S)[:_MOST_SHOWN]
        self._say.set("screen_last_minute", "; ".join(map(str, recent)) or "nothing")

    def _asked(self) -> tuple[str, float, float]:
        return self._params.screen, self._params.screen_frozen_s, self._params.screen_noise


def _config(mode: str, frozen_s: float, most_noise: float) -> ScreenConfig:
    """Who refuses must look at every frame; who only tells need not."""
    content_s = 0.0 if mode == REFUSE else _CONTENT_S
    return ScreenConfig(
        most_noise=most_noise, most_noise_grey=2.5 * most_noise, frozen_s=frozen_s, content_s=content_s
    )
