"""A folder as Hugging Face publishes models -> a model folder: the robot's part in ONNX, the rest served.

Nothing is fetched: what the folder lacks is told. Every part is tried against the whole model before the
model folder is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .create import drafted, write_yaml
from .export_processor import input_spec
from .export_source import ENCODERS, GENERATORS, Source
from .folder import FORMAT, ModelFolder, file_sha256, part_sha256
from .preprocess import InputSpec
from .schema import ModelError
from .tasks import GENERATE_DTYPES, GenerateTask
from .transformers_part import load_transformers

__all__ = ["Local", "Order", "export"]

DEFAULT_NEW_TOKENS = 20
_SERVER = "server/"


@dataclass
class Local:
    """A graph from the features of a cut to the answer that a robot alone gives, and how its output reads.

    With `labels` (one a line) it classifies, with `vocabulary` it captions (see `tasks.CaptionTask`); with
    neither it does what the model does.
    """

    file: Path
    labels: Path | None = None
    vocabulary: Path | None = None
    begin: int = 1
    end: int = 2
    max_tokens: int = 32
    licence: str = ""


@dataclass
class Order:
    """What is wanted of an export. Empty: what the source says, or the usual."""

    name: str = ""
    version: str = "1.0"
    description: str = ""
    licence: str = ""
    """SPDX identifier of the whole model; of a part, where it has another one: the two below."""
    agent_licence: str = ""
    server_licence: str = ""
    cuts: tuple[str, ...] = ()
    """Of GIT: vision; of BLIP-2: vit, qformer. All of them if empty; the first one is the default split."""
    after_layers: tuple[int, ...] = ()
    """Of an encoder: cut behind these layers, counted from 1. Behind half of them if empty."""
    prompt: str = ""
    interval_s: float = 0.0
    """Of a model for video: least time between the frames that it looks at together."""
    options: dict[str, bool | int | float | str] = field(default_factory=dict)
    """`generate`'s own: max_new_tokens, num_beams, ..."""
    dtype: str = "auto"
    """What the server computes in: one of GENERATE_DTYPES."""
    stored: str = ""
    """What the server's weights are stored in: float32, float16, bfloat16. Empty: as in the source."""
    local: dict[str, Local] = field(default_factory=dict)
    """By cut."""


def export(
    source: Path,
    directory: Path,
    order: Order,
    *,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> ModelFolder:
    """Writes the model folder `directory` and returns it. It appears whole or not at all.

    Args:
        source: a folder with config.json, weights, preprocessor_config.json and, of a model that answers with
            text, a tokenizer.
        tell: told what is being done, for people.

    Raises:
        ModelError: the source lacks something or is of an unknown kind, the order does not fit it, torch or
            transformers are missing, a part gives something else than the whole model, or `directory` exists.
    """
    found = Source.read(source)
    _check(order, found)
    with drafted(directory, overwrite=overwrite) as draft:
        transformers = load_transformers()
        tell("image preparation")
        spec = input_spec(transformers, source)
        job = _Job(found, order, draft, spec, tell)
        try:
            make = _generator if found.architecture in GENERATORS else _encoder
            document = make(transformers, job)
        except ModelError:
            raise
        except Exception as error:  # transformers lets through whatever its libraries raise
            raise ModelError(f"{source}: cannot be exported: {error}") from error
        for text in found.legal_files():
            shutil.copyfile(text, draft / text.name)
        write_yaml(draft, _header(job, directory) | document | {"extra": job.extra(transformers)})
        folder = ModelFolder.load(draft)
        for name, split in folder.splits.items():
            tell(f"trying {name}")
            folder.agent(name)
            if split.server.kind == "onnx":
                folder.server(name)
            if split.local is not None:
                folder.local(name)
        if folder.task.kind == "generate":
            _serve_once(folder)
    return ModelFolder.load(directory)


@dataclass
class _Job:
    source: Source
    order: Order
    draft: Path
    spec: InputSpec
    tell: Callable[[str], None]
    verified: dict[str, Any] = field(default_factory=dict)

    def extra(self, transformers: Any) -> dict[str, Any]:
        import torch

        return {
            "exported": {
                "architecture": self.source.architecture,
                "transformers": transformers.__version__,
                "torch": str(torch.__version__),
                "verified": self.verified,
            }
        }


def _check(order: Order, source: Source) -> None:
    if order.dtype not in GENERATE_DTYPES:
        raise ModelError(f"dtype is {order.dtype!r}; possible are {', '.join(GENERATE_DTYPES)}")
    if order.stored and order.stored not in GENERATE_DTYPES[1:]:
        raise ModelError(f"stored is {order.stored!r}; possible are {', '.join(GENERATE_DTYPES[1:])}")
    if source.architecture in ENCODERS:
        for key in ("cuts", "prompt", "options", "stored"):
            if getattr(order, key):
                raise ModelError(f"{key}: is for models that answer with text, not for {source.architecture}")
    elif order.after_layers:
        raise ModelError(f"after_layers: is for encoders, not for {source.architecture}")


def _header(job: _Job, directory: Path) -> dict[str, Any]:
    order, source = job.order, job.source
    return {
        "format": FORMAT,
        "name": order.name or directory.name,
        "version": order.version,
        "licence": order.licence or source.licence or "unknown",
        "description": order.description or f"{source.architecture}, cut in two",
        "input": asdict(job.spec),
    }


def _generator(transformers: Any, job: _Job) -> dict[str, Any]:
    """GIT and BLIP-2: the agent part of each cut in ONNX, one server folder for all of them."""
    import torch

    from .export_onnx import to_onnx
    from .transformers_cuts import FAMILIES

    order, path = job.order, job.source.path
    family = FAMILIES[job.source.architecture]
    cuts = order.cuts or family.cuts
    if unknown := [cut for cut in cuts if cut not in family.cuts]:
        raise ModelError(f"no cut {unknown[0]!r}; {family.architecture} has {', '.join(family.cuts)}")
    job.tell("loading the whole model")
    model, info = getattr(transformers, family.architecture).from_pretrained(
        path, local_files_only=True, dtype="auto", output_loading_info=True
    )
    if info["missing_keys"]:
        raise ModelError(f"{path}: the weights lack {', '.join(sorted(info['missing_keys'])[:3])}")
    model.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    task = GenerateTask(
        prompt=order.prompt,
        frames=family.frames(model.config),
        interval_s=order.interval_s,
        dtype=order.dtype,
        options={
            "max_new_tokens": model.generation_config.max_new_tokens or DEFAULT_NEW_TOKENS,
            **order.options,
        },
    )
    agents = {cut: family.agent(model, cut) for cut in cuts}
    job.tell("comparing the halves with the whole")
    _same_ids(model, family, agents, task, tokenizer, job.spec)

    job.tell("server part")
    if order.stored:
        model.to(getattr(torch, order.stored))
    model.save_pretrained(job.draft / _SERVER)
    tokenizer.save_pretrained(job.draft / _SERVER)
    server = _part(job, "server", _SERVER, order.server_licence)
    example = torch.randn(job.spec.shape, generator=torch.Generator().manual_seed(0))
    splits = {}
    for cut, agent in agents.items():
        job.tell(f"agent part of {cut}")
        file = f"{cut}.onnx"
        off, features = to_onnx(
            agent.float(), example, job.draft / file, names=("pixel_values", "features"), open_batch=False
        )
        job.verified[cut] = {"agent_deviation": float(f"{off:.2g}"), "token_ids": "identical"}
        splits[cut] = _split(job, cut, file, features.shape[1:], server)
    if unknown := [cut for cut in order.local if cut not in splits]:
        raise ModelError(f"local: there is no cut {unknown[0]!r}; there are {', '.join(splits)}")
    return {"splits": splits, "default_split": cuts[0], "task": {"kind": task.kind, **asdict(task)}}


def _same_ids(
    model: Any, family: Any, agents: dict[str, Any], task: Any, tokenizer: Any, spec: InputSpec
) -> None:
    """Cuts `model` and compares its token ids before and after. Raises ModelError where they differ."""
    import torch

    generator = torch.Generator().manual_seed(0)
    frames = (task.frames,) if task.frames > 1 else ()
    pixels = torch.randn((1, *frames, *spec.shape[1:]), generator=generator).to(model.dtype)
    prompt = torch.tensor([family.prompt(model, tokenizer, task.prompt)])
    options: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}
    with torch.inference_mode():
        whole = model.generate(pixel_values=pixels, input_ids=prompt, **options)
        rows = pixels.flatten(0, 1) if frames else pixels
        features = {
            cut: agent(rows).unflatten(0, pixels.shape[: 1 + len(frames)]) for cut, agent in agents.items()
        }
        family.strip(model, set(agents))
        for cut in agents:
            split = family.generate(family.at(model, cut), features[cut], prompt, **options)
            if not torch.equal(split, whole):
                raise ModelError(
                    f"{cut}: cut there, the model gives the tokens {split.tolist()}, whole {whole.tolist()}; "
                    "this version of transformers joins its parts in a way not known here"
                )


def _encoder(transformers: Any, job: _Job) -> dict[str, Any]:
    """CLIP, SigLIP, ViT, DINOv2: both parts of each cut in ONNX."""
    import torch

    from .export_encoders import Whole, agent_half, layers_of, load, server_half
    from .export_onnx import TOLERANCE, deviation, to_onnx
    from .runtime import Runtime

    order = job.order
    job.tell("loading the whole model")
    encoder, model = load(transformers, job.source.path, job.source.architecture)
    depth = len(model.get_submodule(layers_of(model)))
    behind = order.after_layers or (max(1, depth // 2),)
    if wrong := [layer for layer in behind if not 1 <= layer <= depth]:
        raise ModelError(f"after_layers: {wrong[0]}; the model has {depth} layers, cut behind 1 to {depth}")
    example = torch.randn(job.spec.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = Whole(model, encoder.output)(example).numpy()
    splits = {}
    for after in behind:
        cut = f"layer{after}"
        files = {role: f"{cut}_{role}.onnx" for role in ("agent", "server")}
        job.tell(f"agent part of {cut}")
        agent_off, features = to_onnx(
            agent_half(model, after),
            example,
            job.draft / files["agent"],
            names=("pixel_values", "features"),
            open_batch=False,
        )
        job.tell(f"server part of {cut}")
        to_onnx(
            server_half(model, encoder.output, after),
            torch.from_numpy(features),
            job.draft / files["server"],
            names=("features", "answer"),
            open_batch=True,
        )
        agent, server = (Runtime(job.draft / files[role]) for role in ("agent", "server"))
        sent = agent.run({"pixel_values": example.numpy()}, "features")
        if (off := deviation(server.run({"features": sent}, "answer"), wanted)) > TOLERANCE:
            raise ModelError(f"{cut}: joined, the halves deviate from the whole by {off:.2g} (relative L2)")
        job.verified[cut] = {"agent_deviation": float(f"{agent_off:.2g}"), "deviation": float(f"{off:.2g}")}
        served = _part(job, "server", files["server"], order.server_licence)
        splits[cut] = _split(job, cut, files["agent"], features.shape[1:], served)
    if unknown := [cut for cut in order.local if cut not in splits]:
        raise ModelError(f"local: there is no cut {unknown[0]!r}; there are {', '.join(splits)}")
    task: dict[str, Any] = {"kind": encoder.task}
    if encoder.task == "classify":
        labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
        text = "".join(f"{' '.join(str(label).split())}\n" for label in labels)
        (job.draft / "labels.txt").write_text(text, encoding="utf-8")
        single = model.config.problem_type != "multi_label_classification"
        task |= {
            "labels": "labels.txt",
            "sha256": file_sha256(job.draft / "labels.txt"),
            "top_k": min(5, len(labels)),
            "activation": "softmax" if single else "none",
        }
    return {"splits": splits, "default_split": next(iter(splits)), "task": task}


def _split(job: _Job, cut: str, agent: str, shape: tuple[int, ...], server: dict[str, Any]) -> dict[str, Any]:
    parts = {"agent": _part(job, "agent", agent, job.order.agent_licence), "server": server}
    if cut in job.order.local:
        parts["local"] = _local(job, cut, job.order.local[cut])
    return {"shape": list(shape), "dtype": "float32", **parts}


def _part(job: _Job, role: str, file: str, licence: str) -> dict[str, Any]:
    path = job.draft / file
    part: dict[str, Any] = {
        "file": file,
        "sha256": part_sha256(path),
        "licence": licence or job.order.licence or job.source.licence or "unknown",
    }
    data = path.with_name(path.name + ".data")
    if role != "local" and data.is_file():
        part["weights"] = {"file": data.name, "sha256": file_sha256(data)}
    return part


def _local(job: _Job, cut: str, local: Local) -> dict[str, Any]:
    def taken(source: Path, name: str) -> dict[str, str]:
        try:
            shutil.copyfile(source, job.draft / name)
        except OSError as error:
            raise ModelError(f"local part of {cut}: {source}: cannot be copied: {error.strerror}") from error
        return {"file": name, "sha256": file_sha256(job.draft / name)}

    file = taken(local.file, f"{cut}_local.onnx")["file"]
    part = _part(job, "local", file, local.licence)
    if local.labels is not None:
        words = taken(local.labels, f"{cut}_local_labels.txt")
        part["task"] = {"kind": "classify", "labels": words["file"], "sha256": words["sha256"]}
    elif local.vocabulary is not None:
        words = taken(local.vocabulary, f"{cut}_local_vocab.txt")
        part["task"] = {
            "kind": "caption",
            "vocabulary": words["file"],
            "sha256": words["sha256"],
            "begin": local.begin,
            "end": local.end,
            "max_tokens": local.max_tokens,
        }
    return part


def _serve_once(folder: ModelFolder) -> None:
    """Loads the server folder as a server would, and answers once for every cut."""
    from .engine import TransformersEngine

    TransformersEngine(folder, device="cpu").close()
