"""What must hold of a model that was cut: its halves are the whole, its tokens stay the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from qeil_ros.models.datasets import Dataset
from qeil_ros.models.detection import DetectTask
from qeil_ros.models.evaluate import prepared
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.preprocess import Preprocessor
from qeil_ros.models.split_check import CutCheck, check_all_cuts, same_boxes

from .ros import BenchError

_NEW_TOKENS = 12


def cuts(folder: ModelFolder, whole: Any, photos: Dataset, every: int = 1) -> list[CutCheck]:
    """Each `every`-th listed cut of the uncut graph, its halves held against the whole on the photos.

    `folder` says how the photos are prepared and, of a detector, how the output reads as boxes.
    """
    prepare = Preprocessor(folder.input)
    images = [prepared(prepare, photo.pixels).copy() for photo in photos]
    if not isinstance(folder.task, DetectTask):
        return check_all_cuts(whole, images, every=every)
    labels = (folder.path / folder.task.labels).read_text(encoding="utf-8").splitlines()
    return check_all_cuts(whole, images, same=same_boxes(folder.task, labels), every=every)


# ---------------------------------------------------------------- language models


def same_tokens(family: str, images: int) -> tuple[int, int]:
    """(answers that were compared, those whose token ids were the whole model's) of a small seeded model.

    It is saved to disk and exported as a published one would be, and runs at every cut that it has.

    Args:
        family: `git` or `blip2`.
        images: how many pictures.

    Raises:
        BenchError: this is no checkout.
        ModelError: torch or transformers are missing, or the export failed.
    """
    from qeil_ros.models.export import Order, export
    from qeil_ros.models.transformers_part import GeneratingPart, load_transformers

    transformers = load_transformers()
    import torch

    tiny = _tiny_transformers()
    architecture = {"git": "GitForCausalLM", "blip2": "Blip2ForConditionalGeneration"}[family]
    with TemporaryDirectory(prefix="qeil-bench-") as scratch:
        source = getattr(tiny, family)(Path(scratch) / "source")
        order = Order(name=family, options={"max_new_tokens": _NEW_TOKENS})
        folder = export(source, Path(scratch) / "model", order)
        whole = getattr(transformers, architecture).from_pretrained(source).eval()
        prepare, rng = Preprocessor(folder.input), np.random.default_rng(0)
        small = [rng.integers(0, 256, (6, 8, 3), np.uint8) for _ in range(images)]
        inputs = [prepared(prepare, cv2.resize(pixels, (64, 48))).copy() for pixels in small]
        with torch.inference_mode():
            said = [
                whole.generate(pixel_values=torch.from_numpy(x), max_new_tokens=_NEW_TOKENS, do_sample=False)[
                    0
                ]
                for x in inputs
            ]
        same = 0
        for name in folder.splits:
            agent, server = folder.agent(name), folder.server(name)
            assert isinstance(server, GeneratingPart)
            for picture, ids in zip(inputs, said, strict=True):
                (ours,) = server.token_ids(agent.run(picture))
                # The whole model repeats the prompt in front of its answer.
                same += len(ours) > 0 and ids.tolist()[-len(ours) :] == ours.tolist()
        return images * len(folder.splits), same


def _tiny_transformers() -> Any:
    file = Path(__file__).resolve().parents[1] / "test" / "tiny_transformers.py"
    if not file.is_file():
        raise BenchError("the small language models are built in a checkout of the project only")
    spec = importlib.util.spec_from_file_location("tiny_transformers", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
