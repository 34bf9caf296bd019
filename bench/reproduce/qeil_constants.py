"""Why a placement saves what it saves: the devices' joules per byte and per operation, under every constant
that the paper gives more than once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qeil_ros.planning.placement.problem import Device, Problem
from qeil_ros.planning.qeil_paper import EFFICIENCY

from ..harness import figure
from . import qeil_paper as paper
from .qeil_paper import MODELS, Platform
from .qeil_simulation import CORRECTED, least_energy_j
from .section import Grid, Section

__all__ = ["byte_nj", "run"]

LENGTHS = ((32, 16), (128, 64), (512, 256), (2048, 512))
"""Tokens of a prompt and of a sample."""
NPU_BANDWIDTHS = (50e9, 200e9, 300e9)
NPU_POWERS = (5.0, 20.0, 25.0, 60.0)
CPU_BANDWIDTHS = (30e9, 100e9)
"""Constants of which the paper has several [byte/s, W, byte/s]; its list of hardware has 50, 25 and 100."""
GIGA = 1e9


@dataclass(frozen=True)
class _Choice:
    """One way to settle the paper's conflicts [byte/s, W], and the most that any placement saves [%]."""

    npu_bandwidth: float
    npu_power_w: float
    cpu_bandwidth: float
    factors: bool
    saving: float


def byte_nj(device: Device) -> float:
    """What a byte from its memory takes while nothing else is done [nJ]."""
    return device.power_w * device.efficiency / device.bandwidth_bytes_s * GIGA


def run() -> Section:
    """Bounds on the saving; no placement is searched for, so nothing depends on a solver."""
    platform, printed = paper.platform(), paper.platform_as_printed()
    choices = list(_choices(platform))
    reached = _allowing(choices)
    least = min(NPU_BANDWIDTHS)
    slow = [choice for choice in choices if choice.npu_bandwidth == least]
    lengths = [(prompt, tokens, _saving(platform, prompt, tokens)) for prompt, tokens in LENGTHS]
    factors = list(_factors(platform))
    best = max(factors, key=lambda found: found[2])
    gpu, npu = (platform.devices[platform.index(name)] for name in ("gpu", "npu"))
    batched = _saving(platform, paper.PROMPT, paper.TOKENS, batched=True)
    claimed = paper.CLAIMED_SAVING_PERCENT
    needed = npu.power_w * npu.efficiency / (byte_nj(gpu) * (1 - claimed / 100))
    return Section(
        "constants",
        "What the constants allow",
        "Decoding reads every weight for each token, so on every device here it is bound by memory (its "
        f"intensity is about 1 FLOP per byte; the ridges are {_ridges(platform)}). Then a layer's energy is "
        "its bytes times P lambda / B, whatever the model, and the largest share that a placement can save "
        "is one less the ratio of the best device's joules per byte to the GPU's. The bounds here put every "
        "layer of every phase where it takes least, memory and transfers left out: no placement is below "
        "them.",
        results=[
            figure("constants_choices", len(choices), "choices"),
            figure("constants_choices_that_allow_47_percent", len(reached), "choices"),
            figure("constants_npu_bandwidth_for_47_percent", needed, "GB/s"),
            figure("constants_bound_best_efficiency_factors", best[2], "%"),
            figure("constants_bound_batched", batched, "%"),
        ],
        differs=[
            f"A byte takes {byte_nj(gpu):.4f} nJ on the GPU and {byte_nj(npu):.4f} nJ on the NPU with the "
            f"middles of the paper's efficiency factors, so {100 * (1 - byte_nj(npu) / byte_nj(gpu)):.0f} % "
            f"is all that moving to the NPU can save; without them {_plain_nj(gpu):.3f} against "
            f"{_plain_nj(npu):.3f} nJ: nothing. {claimed:g} % takes an NPU of {needed:.0f} GB/s or more; its "
            "list of hardware has 50.",
            "The efficiency factors are printed as ranges, of which the preset has the middles. At the ends "
            f"that suit the NPU best (GPU {best[0]:g}, NPU {best[1]:g}) at most {best[2]:.1f} % can be "
            f"saved: {sum(found[2] >= claimed for found in factors)} of the {len(factors)} corners and "
            f"middles allow {claimed:g} %. They decide the outcome as the "
            "conflicts below do.",
            f"Of the {len(choices)} ways to settle the constants that the paper gives more than once, "
            f"{len(reached)} allow {claimed:g} % on average; with the NPU at {least / GIGA:g} GB/s "
            f"{_allowed(slow)}, with the faster memory of its other passage "
            f"{len(reached) - len(_allowing(slow))} of {len(choices) - len(slow)} do. The conflict decides "
            "whether the claim holds, not the algorithm.",
            f"By FLOP per joule, what algorithm 1 ranks by, the order is {_order(platform)} with peaks of "
            f"half precision and efficiency factors, and {_order(printed)} by C = 2 f n without them; for "
            "the first one the paper's story (decode to the NPU) is reversed. FLOP per joule is the wrong "
            "measure for a phase that is bound by memory.",
            "Decoding the samples as one batch multiplies the work on each byte by 20, still below the GPU's "
            f"and the NPU's ridges: the bound is then {batched:.1f} %.",
        ],
        not_given=["The GPU's bandwidth (here the maker's), on which every saving against it depends."],
        tables=[
            _devices(platform, printed),
            _sweep(choices),
            Grid(
                "The most that any placement saves, by the efficiency factors within the printed ranges",
                ["GPU", "NPU", "mean saving at most, %"],
                [[gpu_factor, npu_factor, f"{saving:.1f}"] for gpu_factor, npu_factor, saving in factors],
            ),
            Grid(
                "The most that any placement saves, by the lengths that the paper does not give",
                ["prompt", "tokens a sample", "mean saving at most, %"],
                [[prompt, tokens, f"{saving:.1f}"] for prompt, tokens, saving in lengths],
            ),
        ],
        data={
            "choices": [vars(choice) for choice in choices],
            "claimed": claimed,
        },
        figure="The most that any placement saves on average, by the NPU's bandwidth, its power and the "
        "efficiency factors, against the claim.",
    )


def _choices(platform: Platform) -> Iterator[_Choice]:
    for npu_b, npu_w, cpu_b in itertools.product(NPU_BANDWIDTHS, NPU_POWERS, CPU_BANDWIDTHS):
        changed = platform.replaced("npu", bandwidth_bytes_s=npu_b, power_w=npu_w)
        changed = changed.replaced("cpu", bandwidth_bytes_s=cpu_b)
        for factors, each in ((True, changed), (False, changed.without_efficiency())):
            yield _Choice(npu_b, npu_w, cpu_b, factors, _saving(each, paper.PROMPT, paper.TOKENS))


def _factors(platform: Platform) -> Iterator[tuple[float, float, float]]:
    """Efficiency factors of GPU and NPU at the ends and middles of what is printed, and the saving at "
    "most."""
    ends = {name: (low, (low + high) / 2, high) for name, (low, high) in EFFICIENCY.items()}
    for gpu, npu in itertools.product(ends["gpu"], ends["npu"]):
        changed = platform.replaced("gpu", efficiency=gpu).replaced("npu", efficiency=npu)
        yield gpu, npu, _saving(changed, paper.PROMPT, paper.TOKENS)


def _saving(platform: Platform, prompt: int, tokens: int, batched: bool = False) -> float:
    """The most that any placement saves against the GPU alone, the mean over the models [%]."""
    found = []
    for model in MODELS:
        sized = replace(model, made=replace(model.made, prompt=prompt, tokens=tokens))
        problem = CORRECTED.problem(sized, platform=platform)
        problem = _batch(problem, tokens) if batched else problem
        alone = problem.tables.energy_j[:, :, platform.index("gpu")].sum()
        found.append(100 * (1 - least_energy_j(problem) / alone))
    return float(np.mean(found))


def _batch(problem: Problem, tokens: int) -> Problem:
    """All samples decoded together: one pass a token reads the weights once."""
    n = paper.SAMPLES
    layers = tuple(
        replace(
            layer,
            flops=(layer.flops[0], n * layer.flops[1]),
            moved_bytes=(
                layer.moved_bytes[0],
                max(0.0, layer.moved_bytes[1] - layer.weight_bytes) * n
                + min(layer.moved_bytes[1], layer.weight_bytes),
            ),
        )
        for layer in problem.layers
    )
    return replace(problem, layers=layers, passes=(1.0, float(tokens)))


def _plain_nj(device: Device) -> float:
    return byte_nj(replace(device, efficiency=1.0))


def _ridges(platform: Platform) -> str:
    return ", ".join(f"{device.name} {device.ridge:.0f}" for device in platform.devices)


def _order(platform: Platform) -> str:
    ranked = sorted(platform.devices, key=lambda device: -device.flops_j)
    return " > ".join(device.name.upper() for device in ranked)


def _allowing(choices: Sequence[_Choice]) -> list[_Choice]:
    return [choice for choice in choices if choice.saving >= paper.CLAIMED_SAVING_PERCENT]


def _allowed(choices: Sequence[_Choice]) -> str:
    allowing = _allowing(choices)
    if not allowing:
        return "none of them does"
    watts = sorted({choice.npu_power_w for choice in allowing})
    return f"only those do whose NPU takes {' or '.join(f'{w:g}' for w in watts)} W"


def _devices(platform: Platform, printed: Platform) -> Grid:
    rows = []
    for device, plain in zip(platform.devices, printed.devices, strict=True):
        rows.append(
            [
                device.name.upper(),
                f"{device.bandwidth_bytes_s / 1e9:g}",
                f"{device.power_w:g}",
                f"{device.efficiency:g}",
                f"{device.flops_s / 1e12:.3g}",
                f"{plain.flops_s / 1e12:.3g}",
                f"{byte_nj(device):.4f}",
                f"{_plain_nj(device):.4f}",
                f"{device.flops_j / 1e12:.3f}",
                f"{plain.flops_j / 1e12:.4f}",
            ]
        )
    return Grid(
        "The devices; lambda: efficiency factor",
        [
            "device", "GB/s", "W", "lambda", "TFLOP/s, fp16", "TFLOP/s, 2 f n", "nJ/byte", "nJ/byte without "
            "lambda",
            "TFLOP/J, fp16", "TFLOP/J, 2 f n without lambda",
        ],
        rows,
    )  # fmt: skip


def _sweep(choices: Sequence[_Choice]) -> Grid:
    cpu = max(CPU_BANDWIDTHS)
    rows = []
    for factors, watts in itertools.product((True, False), NPU_POWERS):
        cells = [
            choice.saving
            for choice in choices
            if choice.factors == factors and choice.npu_power_w == watts and choice.cpu_bandwidth == cpu
        ]
        rows.append(["with" if factors else "without", f"{watts:g}", *(f"{cell:.1f}" for cell in cells)])
    return Grid(
        f"The most that any placement saves [%], CPU at {cpu / GIGA:g} GB/s (at 30 the CPU only gets worse)",
        ["lambda", "NPU, W", *(f"NPU at {b / GIGA:g} GB/s" for b in NPU_BANDWIDTHS)],
        rows,
    )
