"""The stages from nothing to a scored model folder. Each reads what the ones before it left on the disk."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from qeil_ros.models import tabletop
from tools.tabletop import training
from tools.tabletop.basis import learn_basis
from tools.tabletop.card import write_card
from tools.tabletop.dataset import Samples, load_samples
from tools.tabletop.export import export_decoder, export_tower, pack
from tools.tabletop.folder import write_folder
from tools.tabletop.model import Captioner, Decoder, make_local_head
from tools.tabletop.recording import Take, write_recording
from tools.tabletop.scoring import measure, score_recording


@dataclass(frozen=True)
class Plan:
    """Where to and how much."""

    out: Path
    work: Path
    scenes: int
    samples: int
    seed: int
    workers: int
    frozen: int
    frames: int

    @property
    def recipe(self) -> training.Recipe:
        return training.Recipe(samples=self.samples, horizon=self.samples * 125 // 96, seed=self.seed)

    @property
    def local_recipe(self) -> training.Recipe:
        samples = min(self.samples, 450_000)
        return training.Recipe(samples=samples, horizon=samples, rate=4e-3, seed=self.seed)

    @property
    def captioner(self) -> Path:
        return self.work / "captioner.pt"

    @property
    def local(self) -> Path:
        return self.work / "local.pt"


def run(plan: Plan, stages: Sequence[str]) -> None:
    """Run stages in their order; raises FileNotFoundError where an earlier stage's result is missing."""
    plan.out.mkdir(parents=True, exist_ok=True)
    for name, stage in _STAGES.items():
        if name in stages:
            stage(plan)


def _samples(plan: Plan) -> Samples:
    with _bar("drawing scenes") as progress:
        return load_samples(
            plan.scenes, tabletop.TRAINING_STREAM, plan.work, plan.workers, lambda n, of: progress(n, of, "")
        )


def _captioner(plan: Plan) -> None:
    samples = _samples(plan)
    with _bar("training the captioner") as progress:
        training.train_captioner(samples, plan.recipe, plan.captioner, progress)


def _local(plan: Plan) -> None:
    samples = _samples(plan)
    tower = _load(Captioner(), plan.captioner).tower
    with _bar("features of the scenes") as progress:
        features = training.features_of(tower, samples, progress)
    with _bar("training the local head") as progress:
        tokens = torch.from_numpy(samples.tokens.copy())
        training.train_local_head(features, tokens, plan.local_recipe, plan.local, progress)


def _export(plan: Plan) -> None:
    captioner, head = _load(Captioner(), plan.captioner), _load(make_local_head(), plan.local)
    export_tower(captioner.tower, plan.out / "agent_fp32.onnx")
    # The decoders stay in float32: int8 made a step 1.1 to 1.2 times faster, and its scales would make one
    # robot's answer depend on whose frames share its batch.
    export_decoder(captioner.decoder, plan.out / "server.onnx")
    export_decoder(head, plan.out / "local.onnx")
    write_folder(plan.out, {}, agent="agent_fp32.onnx")


def _pack(plan: Plan) -> None:
    with _bar("packing the agent part's weights") as progress:
        report = pack(plan.out, progress)
    write_folder(plan.out, {})
    print(f"agent.qwt: {report.packed_bytes:,} bytes, widths {', '.join(map(str, report.widths))}")


def _basis(plan: Plan) -> None:
    with _bar("learning the features' basis") as progress:
        learn_basis(plan.out, progress)
    write_folder(plan.out, {})


def _recording(plan: Plan) -> None:
    size = write_recording(plan.out / "recording", Take(frames=plan.frames))
    print(f"recording: {plan.frames} frames, {size / 1e6:.2f} MB")


def _score(plan: Plan) -> None:
    captioner: Captioner = _load(Captioner(), plan.captioner)
    head: Decoder = _load(make_local_head(), plan.local)
    scores: dict[str, Any] = {
        "frozen": {**measure(plan.out, plan.frozen), "machine": f"{_processor()}"},
        "recording": score_recording(plan.out, plan.out / "recording"),
        "training": {"scenes": plan.scenes, "samples": plan.samples, "seed": plan.seed},
        "parameters": {
            "agent": _count(captioner.tower),
            "server": _count(captioner.decoder),
            "local": _count(head),
        },
    }
    write_folder(plan.out, scores)
    write_card(plan.out)
    print(f"exact match on {plan.frozen} frozen scenes: {scores['frozen']['exact_match']}")
    print(f"exact match on the recording: {scores['recording']['exact_match']}")


_STAGES = {
    "samples": _samples,
    "captioner": _captioner,
    "local": _local,
    "export": _export,
    "pack": _pack,
    "basis": _basis,
    "recording": _recording,
    "score": _score,
}


def _load(model: Any, checkpoint: Path) -> Any:
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"no {checkpoint}; run the stage that trains it first (captioner, then local)"
        )
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    return model.eval()


def _count(module: torch.nn.Module) -> int:
    parameters: Iterator[Tensor] = module.parameters()
    return sum(parameter.numel() for parameter in parameters)


def _processor() -> str:
    """The processor's own name where Linux tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@contextmanager
def _bar(title: str) -> Iterator[training.Progress]:
    """A progress bar; where the output is no terminal, a line every half minute."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), refresh_per_second=2) as progress:
        task = progress.add_task(title, total=None, note="")
        printed_s = time.monotonic()

        def update(done: int, total: int, note: str) -> None:
            nonlocal printed_s
            progress.update(task, completed=done, total=total, note=note)
            if not progress.console.is_terminal and time.monotonic() - printed_s > 30:
                printed_s = time.monotonic()
                print(f"{title}: {done}/{total} {note}", flush=True)

        yield update
