"""What QEIL (arXiv 2602.06057) gives: its five models, its table, its platform, and where that disagrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from qeil_ros.planning import device as device_file
from qeil_ros.planning.placement.devices import Figure, Record, as_devices
from qeil_ros.planning.placement.problem import Device, Link
from qeil_ros.planning.placement.transformer import Transformer
from qeil_ros.resources import share_dir

__all__ = [
    "CLAIMED_SAVING_PERCENT",
    "COLUMNS",
    "MODELS",
    "SAMPLES",
    "Column",
    "Model",
    "Pair",
    "Platform",
    "platform",
    "platform_as_printed",
    "preset_file",
]

SAMPLES = 20
"""k of pass@k."""
PROMPT, TOKENS = 128, 64
"""Of a query and of a sample; the paper gives neither."""
CLAIMED_SAVING_PERCENT = 47.0
EXPONENT_N, EXPONENT_S = 0.7, 0.7
USD_PER_KWH = 0.125
"""The middle of the paper's 0.10 to 0.15."""
NAMES = ("cpu", "gpu", "npu")


@dataclass(frozen=True)
class Pair:
    """A figure of the table: standard, and energy-aware."""

    standard: float
    aware: float

    @property
    def change_percent(self) -> float:
        return 100 * (self.aware / self.standard - 1)


@dataclass(frozen=True)
class Column:
    """A column of the table, and the mean change that the paper prints under it."""

    name: str
    title: str
    unit: str
    printed_change: float
    points: bool = False
    """Whether that change is a difference, not a ratio."""

    def change(self, pair: Pair) -> float:
        """In percent, or in the column's own unit."""
        return pair.aware - pair.standard if self.points else pair.change_percent


COLUMNS = (
    Column("ipw", "IPW", "1/W", 236.0),
    Column("pass_k", "pass@k", "%", 8.9, points=True),
    Column("energy_kj", "energy", "kJ", -48.8),
    Column("ppp", "PPP", "", 39.0),
    Column("power_w", "power", "W", -68.0),
    Column("latency_ms", "latency", "ms", -15.8),
)


@dataclass(frozen=True)
class Model:
    """A model of the table. Sizes: from its published configuration.

    Attributes:
        nominal: parameters, as the paper's name for it says.
    """

    name: str
    nominal: float
    made: Transformer
    table: dict[str, Pair]


def _model(name: str, nominal: float, made: Transformer, *pairs: tuple[float, float]) -> Model:
    named = {column.name: Pair(*pair) for column, pair in zip(COLUMNS, pairs, strict=True)}
    return Model(name, nominal, made, named)


def _made(
    name: str, vocabulary: int, width: int, layers: int, hidden: float, key_share: float
) -> Transformer:
    return Transformer(
        name, vocabulary, width, layers, PROMPT, TOKENS, hidden=round(hidden), key_share=key_share
    )


# A gated feed-forward part has three matrices where `Transformer` counts two: 3/2 of its width. LFM2's layers
# are 22 short convolutions (4 d^2 weights, no keys) and 8 attentions: what those weigh beside the mean
# attention's 2 d^2 (1 + key_share) is counted with the feed-forward part: 0.733 d more.
MODELS: tuple[Model, ...] = (
    _model(
        "GPT-2 125M", 125e6, _made("gpt2", 50257, 768, 12, 3072, 1.0),
        (0.149, 0.718), (59.5, 70.0), (43.1, 22.5), (16.85, 20.74), (402.5, 83.5), (1.73, 1.34),
    ),
    _model(
        "Granite-350M", 350e6, _made("granite", 100352, 1024, 28, 1.5 * 2048, 0.25),
        (0.130, 0.729), (61.0, 70.0), (403.1, 88.0), (10.90, 16.60), (460.4, 82.3), (1.69, 1.41),
    ),
    _model(
        "Qwen2-0.5B", 500e6, _made("qwen2", 151936, 896, 24, 1.5 * 4864, 2 / 14),
        (0.245, 0.807), (56.0, 66.5), (352.3, 187.9), (10.83, 15.49), (244.7, 74.4), (1.76, 1.62),
    ),
    _model(
        "Llama-3.2-1B", 1.24e9, _made("llama", 128256, 2048, 16, 1.5 * 8192, 0.25),
        (0.365, 0.760), (63.0, 70.0), (330.5, 213.0), (10.44, 15.02), (164.5, 79.0), (1.91, 1.66),
    ),
    _model(
        "LFM2-2.6B", 2.6e9, _made("lfm2", 65536, 2048, 30, 1.5 * 10752 + 0.733 * 2048, 2 / 30),
        (0.341, 0.335), (62.0, 70.0), (490.3, 314.3), (19.51, 25.91), (175.8, 75.0), (1.86, 1.51),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Platform:
    """The paper's machine: CPU, GPU, NPU, and what lies between them."""

    devices: tuple[Device, ...]
    link: Link

    def index(self, name: str) -> int:
        """Of a device, by its name."""
        return [device.name for device in self.devices].index(name)

    def without_efficiency(self) -> Platform:
        """With factors of 1, which the equations of the placement do not have (Eq 20, 22)."""
        return replace(self, devices=tuple(replace(device, efficiency=1.0) for device in self.devices))

    def replaced(self, name: str, **changed: float) -> Platform:
        """With other figures of a device."""
        found = tuple(_changed(device, changed) if device.name == name else device for device in self.devices)
        return replace(self, devices=found)


def _changed(device: Device, figures: Mapping[str, float]) -> Device:
    return Device(**{**vars(device), **figures})


def platform() -> Platform:
    """From the preset, in half precision. FileError: it cannot be read."""
    records, link = _preset()
    return Platform(as_devices(records, "fp16", NAMES), link)


def platform_as_printed() -> Platform:
    """From the preset by the placement's own equations: C = 2 f n (Eq 20), no efficiency factors."""
    records, link = _preset()
    plain = [replace(record, flops_s={}, efficiency=Figure(1.0, "Eq 20, 22")) for record in records]
    return Platform(as_devices(plain, "fp16", NAMES), link)


def _preset() -> tuple[tuple[Record, ...], Link]:
    read = device_file.read(preset_file())
    if read.wire is None:
        raise ValueError(f"{preset_file()} gives no wire between its devices")
    return read.devices, read.wire.link()


def preset_file() -> Path:
    """Where the figures of the paper's platform are, each with its source."""
    return share_dir() / "config/devices/paper_a.yaml"
