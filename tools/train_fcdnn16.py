"""Trains FCDNN-16, the fully connected autoencoder of 16 layers, and writes its model folder.

    python -m tools.train_fcdnn16 [FOLDER] [--steps 6000] [--seed 1]

The network is the one that quantization-aware co-inference was analysed on: an encoder of 64, 128, 256, 512,
256, 128, 64 and 32 neurons, a mirrored decoder, ReLU behind every layer but the last, mean squared error.
The published experiments used MNIST. This script takes scikit-learn's digits instead (1,797 real handwritten
digits of 8 x 8 pixels from the UCI repository), enlarged to 28 x 28: they come with the package, so nothing
is downloaded. Needs torch, onnx and scikit-learn; about three minutes on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

SIDE = 28
ENCODER = (64, 128, 256, 512, 256, 128, 64, 32)
WIDTHS = (SIDE * SIDE, *ENCODER, *ENCODER[-2::-1], SIDE * SIDE)
SPLIT_SEED = 77_000_002
HELD_OUT = 297
"""Of the 1,797 digits, those that come last in the permutation of SPLIT_SEED are never trained on."""

Pictures = NDArray[np.uint8]
Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""(weights [outputs, inputs], bias [outputs]) of each layer."""


def enlarge(digits: NDArray[Any]) -> Pictures:
    """[N, 8, 8] with values from 0 to 16 -> [N, 28, 28], uint8: 24 x 24 pixels, bicubic, in a black frame."""
    grown = [cv2.resize(d.astype(np.float32), (24, 24), interpolation=cv2.INTER_CUBIC) for d in digits]
    pixels = np.clip(np.round(np.stack(grown) * (255 / 16)), 0, 255).astype(np.uint8)
    return np.pad(pixels, ((0, 0), (2, 2), (2, 2)))


def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(digits to train on, held-out ones), [N, 8, 8] each."""
    from sklearn.datasets import load_digits as load

    images = load().images.astype(np.uint8)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    return images[order[:-HELD_OUT]], images[order[-HELD_OUT:]]


def varied(pictures: Pictures, rng: np.random.Generator) -> NDArray[np.float32]:
    """The pictures as vectors from 0 to 1, each a little turned, scaled and moved."""
    rows = np.empty((len(pictures), SIDE * SIDE), np.float32)
    for row, picture in zip(rows, pictures, strict=True):
        turn = cv2.getRotationMatrix2D((13.5, 13.5), rng.uniform(-8, 8), rng.uniform(0.93, 1.05))
        turn[:, 2] += rng.uniform(-0.8, 0.8, 2)
        row[:] = cv2.warpAffine(picture, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR).ravel() / np.float32(255)
    return rows


def train(pictures: Pictures, *, steps: int, seed: int, batch: int = 128) -> Layers:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    linear = [nn.Linear(a, b) for a, b in itertools.pairwise(WIDTHS)]
    for layer in linear:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    net = nn.Sequential(*[module for layer in linear for module in (layer, nn.ReLU())][:-1])
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.5e-3, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        chosen = pictures[rng.integers(len(pictures), size=batch)]
        wanted = torch.from_numpy(varied(chosen, rng))
        loss = nn.functional.mse_loss(net(wanted), wanted)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 500 == 0:
            print(f"step {step}: mean squared error {loss.item():.5f}", flush=True)
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in linear]


def to_onnx(
    layers: Layers, name: str, shape: tuple[int, ...], out: str, *, last: bool, half: bool = False
) -> Any:
    """Fully connected layers as a graph from `name` [batch, *shape] to `out`; `last`: no ReLU at the end.

    With `half` the weights are stored in 16 bits and widened when the graph is loaded.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, weights, at = [], [], name
    if len(shape) > 1:
        nodes.append(helper.make_node("Flatten", [at], ["pixels"], axis=1))
        at = "pixels"
    for index, layer in enumerate(layers):
        names = [f"layer{index}.weight", f"layer{index}.bias"]
        for each, array in zip(names, layer, strict=True):
            stored = array.astype(np.float16) if half else array
            weights.append(numpy_helper.from_array(stored, f"{each}_half" if half else each))
            if half:
                nodes.append(helper.make_node("Cast", [f"{each}_half"], [each], to=TensorProto.FLOAT))
        plain = last and index == len(layers) - 1
        target = out if index == len(layers) - 1 else f"layer{index}.out"
        made = target if plain else f"layer{index}.sum"
        nodes.append(helper.make_node("Gemm", [at, *names], [made], transB=1))
        if not plain:
            nodes.append(helper.make_node("Relu", [made], [target]))
        at = target
    size = layers[-1][0].shape[0]
    graph = helper.make_graph(
        nodes,
        "fcdnn16",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["batch", size])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model


def measure(folder: Path, digits: NDArray[np.uint8]) -> dict[str, float]:
    """Mean squared error (pixels from 0 to 1) and peak signal to noise of the folder's halves together."""
    from qeil_ros.models.folder import ModelFolder

    model = ModelFolder.load(folder)
    agent, server = model.agent(), model.server()
    pictures = enlarge(digits).astype(np.float32)[:, None, None] / np.float32(255)
    errors = [
        float(np.mean((server.run(agent.run(picture))[0].embedding - picture.ravel()) ** 2))
        for picture in pictures
    ]
    mse = float(np.mean(errors))
    return {"digits": len(errors), "mse": round(mse, 6), "psnr_db": round(float(-10 * np.log10(mse)), 2)}


def write_folder(folder: Path, layers: Layers, held_out: NDArray[np.uint8], training: dict[str, Any]) -> None:
    """Writes parts, test digits, `model.yaml` with its scores, and the card."""
    folder.mkdir(parents=True, exist_ok=True)
    half = len(ENCODER)
    parts = {
        "agent": to_onnx(layers[:half], "pixel_values", (1, SIDE, SIDE), "code", last=False),
        "server": to_onnx(layers[half:], "code", (ENCODER[-1],), "reconstruction", last=True, half=True),
    }
    for role, model in parts.items():
        (folder / f"{role}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    np.savez_compressed(folder / "digits.npz", held_out=held_out)
    document: dict[str, Any] = {
        "format": 1,
        "name": "fcdnn16",
        "version": "1.0",
        "licence": "Apache-2.0",
        "description": "Fully connected autoencoder of 16 layers; draws handwritten digits from 32 numbers",
        "input": {
            "width": SIDE,
            "height": SIDE,
            "channels": "mono",
            "layout": "NCHW",
            "dtype": "float32",
            "scale": 1 / 255,
            "resize": "stretch",
            "interpolation": "bilinear",
            "antialias": True,
        },
        "splits": {
            "code": {
                "shape": [ENCODER[-1]],
                "dtype": "float32",
                "agent": _part(folder, "agent.onnx"),
                "server": _part(folder, "server.onnx"),
            }
        },
        "default_split": "code",
        "task": {"kind": "embed"},
    }
    _write(folder, document)
    weights = np.concatenate([w.ravel() for w, _ in layers[:half]]).astype(np.float64)
    document["scores"] = {
        "held_out": {"seed": SPLIT_SEED, **measure(folder, held_out)},
        "mean_picture": {"mse": round(_of_the_mean(held_out), 6)},
        "encoder_weights": {
            "count": weights.size,
            "mean_magnitude": round(float(np.abs(weights).mean()), 6),
            "kurtosis": round(float(np.mean(weights**4) / np.mean(weights**2) ** 2), 2),
        },
        "training": training,
    }
    _write(folder, document)
    (folder / "README.md").write_text(card(folder, document), encoding="utf-8")


def _of_the_mean(held_out: NDArray[np.uint8]) -> float:
    """What a picture costs that is the same for every digit: the score to beat."""
    pictures = enlarge(held_out) / 255
    return float(pictures.var(axis=0).mean())


def _part(folder: Path, file: str) -> dict[str, str]:
    return {"file": file, "sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest()}


def _write(folder: Path, document: dict[str, Any]) -> None:
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=110)
    (folder / "model.yaml").write_text(text, encoding="utf-8")


def card(folder: Path, document: dict[str, Any]) -> str:
    """The text of README.md, with figures from `model.yaml`."""
    scores = document["scores"]
    held, weights, training = scores["held_out"], scores["encoder_weights"], scores["training"]
    rows = "\n".join(
        f"| {role} | `{role}.onnx` | {(folder / f'{role}.onnx').stat().st_size:,} | {what} |"
        for role, what in (
            ("agent", "encoder, 8 layers, float32"),
            ("server", "decoder, 8 layers, weights stored in 16 bits"),
        )
    )
    return f"""# fcdnn16

{document["description"]}.

The network of 16 fully connected layers on which quantization-aware co-inference was analysed: encoder
{", ".join(map(str, ENCODER))}, mirrored decoder, ReLU, mean squared error. It is here to study
weights and features at 1 to 8 bits on something small whose distortion is a plain number; it is of no use
to a robot.

| part | file | bytes | |
|---|---|---|---|
{rows}

* **Data.** Not MNIST: the {training["digits"] + held["digits"]:,} handwritten digits of 8 x 8 pixels that
  scikit-learn ships (UCI Optical Recognition of Handwritten Digits, test part; Alpaydin and Kaynak 1998; CC
  BY 4.0), enlarged to {SIDE} x {SIDE}. They are smoother than MNIST's, so figures do not compare with those.
* **Held out.** {held["digits"]} digits, the last of the permutation of seed {held["seed"]}, in `digits.npz`
  as they were published (values from 0 to 16).
* **Score.** Mean squared error {held["mse"]:.5f} of pixels from 0 to 1, {held["psnr_db"]:.1f} dB; the mean
  picture of all digits has {scores["mean_picture"]["mse"]:.5f}.
* **Weights of the encoder.** {weights["count"]:,}; mean magnitude {weights["mean_magnitude"]:.4f}, kurtosis
  {weights["kurtosis"]:.1f} (3 is Gaussian, 6 Laplacian, whose magnitudes are exponential).
* **Training.** `python -m tools.train_fcdnn16 --steps {training["steps"]} --seed {training["seed"]}`.
* **Output.** An embedding of {SIDE * SIDE} values: the drawn digit, row by row.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    zoo = Path(__file__).resolve().parents[1] / "qeil_ros/models/zoo/fcdnn16"
    parser.add_argument("folder", type=Path, nargs="?", default=zoo)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    training, held_out = load_digits()
    layers = train(enlarge(training), steps=arguments.steps, seed=arguments.seed)
    note = {"digits": len(training), "steps": arguments.steps, "seed": arguments.seed}
    write_folder(arguments.folder, layers, held_out, note)
    print((arguments.folder / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
