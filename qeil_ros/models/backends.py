"""What packed weights are run by: which backends there are, and which is the fastest on this machine.

| backend | graph | weights |
|---|---|---|
| `onnxruntime` | float | decoded to float32 |
| `onnxruntime-int8` | int8 | int8 products, activations quantized as they come; the default |
| `openvino` | qdq | int8 behind DequantizeLinear; activations to calibrated ranges, else as they come |

Fewer bits make no backend faster: every width is decoded to the same int8 or float products. `auto`
measures once, in a process of its own so that what is not chosen costs no memory, and remembers the result
for the file, the machine and the versions in $XDG_CACHE_HOME/qeil/backends.json.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from .quantizers import GRID
from .runtime import GraphRuntime, Runtime
from .schema import ModelError
from .weights import PackedModel

__all__ = ["AUTO", "BACKENDS", "DEFAULT", "Choice", "build", "choose", "measure"]

AUTO = "auto"
DEFAULT = "onnxruntime-int8"
BACKENDS = {"onnxruntime": "float", "onnxruntime-int8": "int8", "openvino": "qdq"}
"""The form of graph that each wants."""

CLEARLY_FASTER = 1.15
"""Another backend than the default must be faster by that much: less is the day's mood."""
WORTH_OPENVINO_MS = 5.0
"""A part that is faster than this with the default is not worth OpenVINO's memory (some 100 MB)."""
_HALF_GRID = 63
_ROUNDS, _BUDGET_S, _TIMEOUT_S = 40, 2.0, 120.0
_REMEMBERED = 64


def build(
    packed: PackedModel,
    bits: int,
    backend: str,
    *,
    threads: int = 1,
    device: str = "cpu",
    shape: tuple[int, ...] | None = None,
) -> GraphRuntime:
    """The packed model at a width, ready to run.

    Args:
        backend: a key of BACKENDS. On another device than `cpu` only `onnxruntime` is possible.
        shape: of the input, for backends that compile for one.

    Raises:
        ModelError: no such backend here, or the file does not serve it.
    """
    if backend not in BACKENDS:
        raise ModelError(f"no backend {backend!r}; there are {AUTO}, {', '.join(BACKENDS)}")
    if device != "cpu" and backend != "onnxruntime":
        raise ModelError(f"backend {backend!r} runs on the processor; device is {device!r}")
    model = packed.onnx(bits, BACKENDS[backend], largest=_HALF_GRID if saturates() else GRID)
    if backend == "openvino":
        from .runtime_openvino import OpenVinoRuntime

        return OpenVinoRuntime(model, name=packed.path, threads=threads, shape=shape)
    return Runtime(model, name=packed.path, threads=threads, device=device)


def saturates(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether sums of two int8 products overflow 16 bits: x86 before VNNI. Weights keep to 7 bits there."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        flags = cpuinfo.read_text()
    except OSError:
        return True
    return "avx512_vnni" not in flags and "avx_vnni" not in flags


@dataclass(frozen=True)
class Choice:
    """The backend chosen, and why. `times_ms`: the least of each that was measured, one frame."""

    backend: str
    times_ms: dict[str, float]
    note: str = ""


def choose(path: Path, digest: str, *, threads: int = 1, shape: Sequence[int], dtype: str) -> Choice:
    """The fastest backend for a packed model, measured once on this machine.

    Args:
        digest: sha256 of the file.
        shape, dtype: of the prepared image [1, ...].
    """
    key = _key(digest, threads)
    cache = _cache_file()
    known = _read(cache)
    if (found := known.get(key)) is not None:
        return Choice(found["backend"], found["times_ms"], "measured before")
    command = [sys.executable, "-m", __spec__.name, str(path), str(threads), dtype, *map(str, shape)]
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        times = {str(name): float(ms) for name, ms in json.loads(done.stdout).items()}
    except (OSError, subprocess.SubprocessError, ValueError, AttributeError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return Choice(DEFAULT, {}, f"not measured: {said.strip().splitlines()[-1:] or error!r}")
    choice = Choice(fastest(times), times, "measured now")
    _remember(cache, known, key, choice)
    return choice


def fastest(times_ms: dict[str, float]) -> str:
    """The default, unless another one is clearly faster."""
    if DEFAULT not in times_ms:
        return min(times_ms, key=times_ms.__getitem__, default=DEFAULT)
    best = min(times_ms, key=times_ms.__getitem__)
    return best if times_ms[best] * CLEARLY_FASTER <= times_ms[DEFAULT] else DEFAULT


def measure(path: Path, threads: int, shape: tuple[int, ...], dtype: str) -> dict[str, float]:
    """The least time of a frame [ms] with each backend that is here, in turn with the others."""
    packed = PackedModel(path)
    bits = packed.widths[0]
    rng = np.random.default_rng(0)
    integer = np.issubdtype(np.dtype(dtype), np.integer)
    image = (rng.integers(0, 128, shape) if integer else rng.standard_normal(shape)).astype(dtype)
    running: dict[str, GraphRuntime] = {}
    for backend, form in BACKENDS.items():
        if form in packed.forms and backend != "openvino":
            running[backend] = build(packed, bits, backend, threads=threads)
    times = _interleaved(running, image)
    if min(times.values()) >= WORTH_OPENVINO_MS and "qdq" in packed.forms:
        try:
            running["openvino"] = build(packed, bits, "openvino", threads=threads, shape=shape)
        except ModelError:
            return times  # not installed, or not for this graph: then it is no candidate
        times = _interleaved(running, image)
    return times


def _interleaved(running: dict[str, GraphRuntime], image: Any) -> dict[str, float]:
    calls = {
        name: (runtime, {runtime.input().name: image}, runtime.outputs[0].name)
        for name, runtime in running.items()
    }
    best = dict.fromkeys(calls, float("inf"))
    end_s = time.monotonic() + _BUDGET_S
    for number in range(_ROUNDS):
        for name, (runtime, feeds, output) in calls.items():
            start_s = time.perf_counter()
            runtime.run(feeds, output)
            best[name] = min(best[name], 1e3 * (time.perf_counter() - start_s))
        if number >= 2 and time.monotonic() > end_s:
            break
    return best


# ---------------------------------------------------------------- what was measured before


def _key(digest: str, threads: int) -> str:
    facts = [
        digest,
        threads,
        platform.machine(),
        _processor(),
        _installed("onnxruntime"),
        _installed("openvino"),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("model name", "CPU part"))), platform.processor())


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cache_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "qeil" / "backends.json"


def _read(cache: Path) -> dict[str, Any]:
    """What is remembered; nothing where the file is missing or not ours."""
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: entry for key, entry in known.items() if _is_choice(entry)}


def _is_choice(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("backend") in BACKENDS
        and isinstance(entry.get("times_ms"), dict)
    )


def _remember(cache: Path, known: dict[str, Any], key: str, choice: Choice) -> None:
    entry = asdict(choice)
    entry.pop("note")
    recent = {**dict(list(known.items())[1 - _REMEMBERED :]), key: entry}
    draft = cache.with_suffix(f".{os.getpid()}")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(recent, indent=1) + "\n", encoding="utf-8")
        draft.replace(cache)
    except OSError:
        return  # a read-only home: it is measured again next time


def _main(words: Sequence[str]) -> None:
    path, threads, dtype, *shape = words
    print(json.dumps(measure(Path(path), int(threads), tuple(map(int, shape)), dtype)))


if __name__ == "__main__":
    _main(sys.argv[1:])
