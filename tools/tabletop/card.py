"""The model card, README.md in the model's folder: `card.md` with figures from `model.yaml`, never typed."""

from __future__ import annotations

from pathlib import Path

import yaml

from qeil_ros.models import tabletop
from tools.tabletop.export import CALIBRATION

_CARD = Path(__file__).with_suffix(".md")

_WHERE = {
    "agent.qwt": ("the robot", "vision tower, weights of {widths} bits in one file"),
    "server.onnx": ("off the robot", "decoder, two layers"),
    "local.onnx": ("the robot", "decoder, one narrow layer"),
    "agent_fp32.onnx": ("nowhere", "vision tower, float32, for experiments"),
}


def write_card(folder: Path) -> None:
    """Write README.md from the folder's `model.yaml`."""
    model = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    scores = model["scores"]
    frozen, recording, training = scores["frozen"], scores["recording"], scores["training"]
    counts, times = scores["parameters"], frozen["one_thread_ms"]
    match = frozen["exact_match"]
    by_bits = frozen["offboard_by_weight_bits"]
    widths = ", ".join(map(str, by_bits))
    rows = [
        f"| {role} | `{file}` | {(folder / file).stat().st_size:,} | {counts[part]:,} "
        f"| {_WHERE[file][0]} | {_WHERE[file][1].format(widths=widths)} |"
        for role, part, file in (
            ("agent", "agent", "agent.qwt"),
            ("server", "server", "server.onnx"),
            ("local", "local", "local.onnx"),
            ("(extra)", "agent", "agent_fp32.onnx"),
        )
    ]
    kinds = "\n".join(
        f"| {kind} | {row['scenes']} | {row['exact_match']:.3f} |"
        for kind, row in frozen["offboard_by_arrangement"].items()
    )
    wrong = sorted(frozen["offboard_mistakes"].items(), key=lambda item: -item[1])
    total = round(frozen["scenes"] * (1 - match["offboard"]))
    text = _CARD.read_text(encoding="utf-8").format(
        version=model["version"],
        parameters=counts["agent"] + counts["server"],
        words=len(tabletop.VOCABULARY),
        parts="\n".join(rows),
        scenes=frozen["scenes"],
        last=frozen["scenes"] - 1,
        stream=frozen["stream"],
        error=100 * (match["offboard"] * (1 - match["offboard"]) / frozen["scenes"]) ** 0.5,
        kinds=kinds,
        widths=" | ".join(map(str, by_bits)),
        rules="---|" * len(by_bits),
        by_bits=" | ".join(f"{share:.3f}" for share in by_bits.values()),
        calibration=CALIBRATION,
        wrong_total=total,
        wrong=", ".join(f"{kind} in {count}" for kind, count in wrong),
        frames=recording["frames"],
        cuts=recording["arrangements"],
        rec_offboard=recording["exact_match"]["offboard"],
        rec_local=recording["exact_match"]["local"],
        machine=frozen["machine"],
        t_agent=times["agent"],
        t_agent_fp32=times["agent_fp32"],
        t_server=times["server_caption"],
        t_local=times["local_caption"],
        train_scenes=training["scenes"],
        samples=training["samples"],
        epochs=training["samples"] / training["scenes"],
        seed=training["seed"],
        **match,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
