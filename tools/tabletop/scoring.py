"""How often the shipped parts are right, through the very code that the robot runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader

from qeil_ros.models import tabletop
from qeil_ros.models.answering import AnsweringPart
from qeil_ros.models.folder import ModelFolder, PartFile
from qeil_ros.models.pipeline import AgentPipeline
from tools.tabletop.export import sha256

FROZEN = 1000  # scenes 0..999 of the frozen stream


def with_agent(folder: ModelFolder, file: str) -> ModelFolder:
    """The same model with another file as its agent part."""
    split = folder.split()
    agent = PartFile(file, sha256(folder.path / file), split.agent.input, split.agent.output)
    return dataclasses.replace(folder, splits={split.name: dataclasses.replace(split, agent=agent)})


BACKEND = "onnxruntime-int8"  # stated, where a robot measures which is fastest: scores must not depend on it


def frozen_features(folder: ModelFolder, count: int, bits: int = 0) -> np.ndarray:
    """Features [count, 17, 128] of the frozen scenes, picture by picture as the robot makes them."""
    packed = folder.split().agent.kind == "packed"
    pipeline = AgentPipeline(folder, backend=BACKEND if packed else "auto")
    agent = pipeline.agent(folder.default_split)
    agent.set_bits(bits)
    if not (agent.wait() and not agent.problem):
        raise RuntimeError(agent.problem)
    rows = []
    for index in range(count):
        _, picture = tabletop.photograph(index)
        height, width = picture.shape[:2]
        image = pipeline.prepare(memoryview(picture).cast("B"), width, height, 3 * width, "rgb8")
        rows.append(pipeline.features(image, folder.default_split).copy())
    return np.stack(rows)


def frozen_captions(count: int) -> list[str]:
    """What is true in the frozen scenes."""
    return [tabletop.caption(tabletop.scene_from_seed(index)) for index in range(count)]


def measure(path: Path, count: int = FROZEN) -> dict[str, object]:
    """Exact match on the frozen scenes of every combination of parts, and what each part costs."""
    folder = ModelFolder.load(path)
    true = frozen_captions(count)
    exact = with_agent(folder, "agent_fp32.onnx")
    server, local = folder.server(), folder.local()
    fp32, shipped = frozen_features(exact, count), frozen_features(folder, count)
    agents = [exact.agent(), folder.agent(backend=BACKEND)]
    by_bits = {
        bits: share_right(_texts(server, frozen_features(folder, count, bits)), true)
        for bits in agents[1].widths
    }

    said = [answer.text for answer in server.run(shipped)]
    image = np.zeros((1, 3, folder.input.height, folder.input.width), np.float32)
    one = shipped[:1]
    times = best_times_ms(
        {
            "agent_fp32": lambda: agents[0].run(image),
            "agent": lambda: agents[1].run(image),
            "server_caption": lambda: server.run(one),
            "local_caption": lambda: local.run(one),
        }
    )
    return {
        "scenes": count,
        "stream": tabletop.FROZEN_STREAM,
        "exact_match": {
            "offboard": share_right(said, true),
            "local": share_right(_texts(local, shipped), true),
            "offboard_fp32_agent": share_right(_texts(server, fp32), true),
            "local_fp32_agent": share_right(_texts(local, fp32), true),
        },
        "offboard_by_weight_bits": by_bits,
        "offboard_by_arrangement": by_arrangement(said, true),
        "offboard_mistakes": mistakes(said, true),
        "one_thread_ms": times,
    }


def _texts(part: AnsweringPart, features: np.ndarray) -> list[str]:
    return [answer.text for answer in part.run(features)]


def share_right(said: list[str], true: list[str]) -> float:
    """Exact match: the share of captions that are right to the last word."""
    return round(sum(a == b for a, b in zip(said, true, strict=True)) / len(true), 4)


def by_arrangement(said: list[str], true: list[str]) -> dict[str, dict[str, float]]:
    """Exact match and number of scenes for each kind of sentence."""
    names = {"left": "left of", "and": "three different", "two": "two alike", "three": "three alike"}
    groups: dict[str, list[int]] = {}
    for i, text in enumerate(true):
        words = text.split()
        known = [word for word in ("empty", "on", "behind", "left", "two", "three", "and") if word in words]
        kind = known[0] if known else "single"
        groups.setdefault(names.get(kind, kind), []).append(i)
    return {
        kind: {
            "scenes": len(rows),
            "exact_match": share_right([said[i] for i in rows], [true[i] for i in rows]),
        }
        for kind, rows in sorted(groups.items(), key=lambda item: -len(item[1]))
    }


def mistakes(said: list[str], true: list[str]) -> dict[str, int]:
    """How many wrong captions have a wrong colour, shape, size, or another structure altogether."""
    kinds = {"colour": set(tabletop.COLOURS), "size": set(tabletop.SIZES)}
    kinds["shape"] = {shape + ending for shape in tabletop.SHAPES for ending in ("", "s")}
    counts = dict.fromkeys((*kinds, "structure"), 0)
    for a, b in zip(said, true, strict=True):
        if a == b:
            continue
        pairs = list(zip(a.split(), b.split(), strict=False))
        differing = [pair for pair in pairs if pair[0] != pair[1]]
        same_kind = [{name for name, words in kinds.items() if words.issuperset(pair)} for pair in differing]
        if len(a.split()) != len(b.split()) or not all(same_kind):
            counts["structure"] += 1
            continue
        for name in set().union(*same_kind):
            counts[name] += 1
    return counts


def best_times_ms(calls: dict[str, Callable[[], object]], rounds: int = 200) -> dict[str, float]:
    """The least time of each call over interleaved rounds: it shows the machine's own speed, not its load."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: round(1000 * seconds, 3) for name, seconds in best.items()}


def score_recording(path: Path, recording: Path) -> dict[str, object]:
    """Exact match of both answering parts on a recording with `truth.json`."""
    folder = ModelFolder.load(path)
    truth = json.loads((recording / "truth.json").read_text(encoding="utf-8"))
    pipeline = AgentPipeline(folder)
    stamps, rows = [], []
    with AnyReader([recording]) as reader:
        for connection, _, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            stamps.append(str(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec))
            image = pipeline.prepare_compressed(memoryview(message.data))
            rows.append(pipeline.features(image, folder.default_split).copy())
    features = np.stack(rows)
    truths = [truth[stamp] for stamp in stamps]
    right = {}
    for name, part in (("offboard", folder.server()), ("local", folder.local())):
        hits = [text in allowed for text, allowed in zip(_texts(part, features), truths, strict=True)]
        right[name] = round(sum(hits) / len(hits), 4)
    arrangements = 1 + sum(a != b for a, b in itertools.pairwise(truths))
    return {"frames": len(stamps), "arrangements": arrangements, "exact_match": right}
