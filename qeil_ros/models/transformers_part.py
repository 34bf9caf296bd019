"""The server part on transformers: a language model that continues from a robot's features."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .extras import require
from .folder import ModelFolder, Split
from .runtime import zeros
from .sampling import Sampling
from .schema import ModelError
from .tasks import Answer, GenerateTask

__all__ = ["GeneratingPart", "ServedModel", "load_transformers"]

# What `generate` is told by this module, so that its output can be read; nobody else may.
_OURS = {"return_dict_in_generate", "output_logits", "output_scores", "num_return_sequences"}


def load_transformers() -> Any:
    """The module `transformers`, kept off the network. Raises ModelError where it is not installed."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is first imported
    require("torch", extra="torch")
    transformers = require("transformers", extra="torch")
    if "TRANSFORMERS_VERBOSITY" not in os.environ:  # else it reports what it does without on every start
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
    return transformers


class ServedModel:
    """One loaded server folder; it answers for every cut that shares it, several frames at a time.

    Args:
        path: the folder, already verified.
        cuts: names of the cuts that the folder was made for.
        threads: of torch in this process, where it runs on the CPU.
        device: `cpu`, `cuda`, or `auto` for a GPU if there is one.

    Raises:
        ModelError: torch or transformers are missing, the folder is not one that can be served, the device is
            not there, or the task's options are not `generate`'s.
    """

    def __init__(
        self, path: Path, cuts: set[str], task: GenerateTask, *, threads: int = 1, device: str = "auto"
    ) -> None:
        transformers = load_transformers()
        import torch

        from .transformers_cuts import FAMILIES

        self.task = task
        self._torch_device, dtype = _placed(torch, device, task.dtype)
        if self._torch_device.type == "cpu":
            torch.set_num_threads(threads)
        self.device = f"transformers {self._torch_device} {str(dtype).removeprefix('torch.')}"
        try:
            config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
            family = FAMILIES.get((config.architectures or [""])[0])
            if family is None:
                raise ModelError(
                    f"{path}: config.json's architectures is {config.architectures}; "
                    f"served are {', '.join(FAMILIES)}"
                )
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
            model, info = _stripped(getattr(transformers, family.architecture), family, cuts).from_pretrained(
                path,
                config=config,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
            if info["missing_keys"]:  # transformers would go on with random ones
                raise ModelError(f"{path}: the weights lack {', '.join(sorted(info['missing_keys'])[:3])}")
        except ModelError:
            raise
        except Exception as error:  # transformers lets through whatever its libraries raise
            raise ModelError(f"{path}: transformers cannot load it: {error}") from error
        self._family, self._dtype = family, dtype
        self._model = model.eval().to(self._torch_device)
        self._views = {cut: family.at(self._model, cut) for cut in cuts}
        language = family.language(self._model)
        self._is_encoder_decoder = bool(language.config.is_encoder_decoder)
        end = language.generation_config.eos_token_id
        self._ends = [] if end is None else end if isinstance(end, list) else [end]
        if (wanted := family.frames(config)) != task.frames:
            raise ModelError(f"task.frames is {task.frames}, but the model in {path} answers for {wanted}")
        known = {name for name in vars(language.generation_config) if not name.startswith("_")} - _OURS
        if unknown := sorted(set(task.options) - known):
            raise ModelError(f"task.options: {unknown[0]!r} is no option of generate that can be set here")
        self._prompt = family.prompt(self._model, self._tokenizer, task.prompt)
        self._one_at_a_time = threading.Lock()

    def generate(
        self, cut: str, features: NDArray[Any], sampling: Sampling | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Token ids [B, T] of the answers and each one's probability; behind an answer's end that is NaN.

        Args:
            features: [B, *shape] of the cut, or [B, frames, *shape].
            sampling: draws the tokens, from all of them unless the options say otherwise; None: as the
                options say.

        Raises:
            ModelError: an option has a value that `generate` refuses.
        """
        import torch

        options = self._options(sampling)
        beams = options.get("num_beams", 1) != 1
        given = torch.tensor(np.ascontiguousarray(features)).to(self._torch_device, self._dtype)
        prompt = torch.tensor([self._prompt] * len(features), device=self._torch_device)
        gpus = [self._torch_device] if self._torch_device.type == "cuda" else []
        with self._one_at_a_time, torch.inference_mode(), torch.random.fork_rng(gpus, sampling is not None):
            if sampling is not None:
                torch.manual_seed(sampling.seed)
            try:
                made = self._family.generate(
                    self._views[cut],
                    given,
                    prompt,
                    **options,
                    return_dict_in_generate=True,
                    output_scores=beams,
                    output_logits=not beams,
                )
            except (ValueError, TypeError) as error:
                raise ModelError(f"transformers' generate refused: {error}") from error
            ids = made.sequences[:, 1 if self._is_encoder_decoder else prompt.shape[1] :]
            if beams:
                language = self._family.language(self._model)
                log = language.compute_transition_scores(made.sequences, made.scores, made.beam_indices)
                log = log[:, : ids.shape[1]]
            else:
                logits = torch.stack(made.logits, dim=1).float()
                log = logits.log_softmax(-1).gather(-1, ids.unsqueeze(-1))[..., 0]
            chance = log.float().exp().cpu().numpy()
        return self._until_end(ids.cpu().numpy(), chance)

    def _options(self, sampling: Sampling | None) -> dict[str, Any]:
        options: dict[str, Any] = dict(self.task.options)
        if sampling is None:
            return options
        # generate's own default is to draw from the 50 likeliest tokens only.
        drawn = {"do_sample": True, "num_beams": 1, "temperature": sampling.temperature}
        return {"top_k": 0, **options, **drawn}

    def answers(self, cut: str, features: NDArray[Any], sampling: Sampling | None = None) -> list[Answer]:
        """One answer per row; its confidence is the mean of its tokens' probabilities, the end's included."""
        ids, chance = self.generate(cut, features, sampling)
        texts = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [
            Answer(text=text.strip(), confidence=float(row[row == row].mean()))
            for text, row in zip(texts, chance, strict=True)
        ]

    def _until_end(
        self, ids: NDArray[np.int64], chance: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ended = np.isin(ids, self._ends)
        after = np.cumsum(ended, axis=1) - ended > 0
        return ids, np.where(after, np.float32(np.nan), chance)


class GeneratingPart:
    """The server part of one cut on transformers. Raises ModelError.

    Args:
        model: one that is loaded already, for cuts that share a folder.
    """

    def __init__(
        self,
        folder: ModelFolder,
        split: Split,
        *,
        threads: int = 1,
        device: str = "cpu",
        model: ServedModel | None = None,
    ) -> None:
        self.split = split
        self.model = model or served(folder, split, threads=threads, device=device)
        self.device = self.model.device
        self._frames = self.model.task.frames
        self.run(zeros((1, *split.shape), split.dtype))  # warm up; a wrong option shows here

    def run(self, features: NDArray[Any]) -> list[Answer]:
        """One answer per row of `features` [B, *split.shape], or [B, frames, *split.shape] oldest first.

        Where the model answers for several frames, a row of one frame stands for a scene at rest.

        Raises:
            ValueError: the features have another shape or dtype.
        """
        return self.model.answers(self.split.name, self._checked(features))

    @property
    def can_sample(self) -> bool:
        """It always can: its answers are built of tokens."""
        return True

    def sample(self, features: NDArray[Any], sampling: Sampling) -> list[Answer]:
        """As `run`, each row's answer drawn at random."""
        return self.model.answers(self.split.name, self._checked(features), sampling)

    def token_ids(self, features: NDArray[Any]) -> NDArray[np.int64]:
        """The token ids [B, T] behind the answers, for comparisons."""
        return self.model.generate(self.split.name, self._checked(features))[0]

    def _checked(self, features: NDArray[Any]) -> NDArray[Any]:
        shape, frames = self.split.shape, self._frames
        several = frames > 1 and features.shape[1:] == (frames, *shape)
        if (
            not (several or features.shape[1:] == shape)
            or features.dtype != self.split.dtype
            or not len(features)
        ):
            raise ValueError(
                f"want features [B, {', '.join(map(str, shape))}] of {self.split.dtype}"
                f"{f', or {frames} of them a row' if frames > 1 else ''}, "
                f"got {list(features.shape)} of {features.dtype}"
            )
        if frames > 1 and not several:
            return np.repeat(features[:, None], frames, axis=1)
        return features


def served(folder: ModelFolder, split: Split, *, threads: int, device: str) -> ServedModel:
    """Loads the server folder of a cut, for it and all cuts that share the folder. Raises ModelError."""
    if not isinstance(folder.task, GenerateTask):
        raise ModelError(
            f"{folder.path}: its server part is {split.server.file!r}, no folder for transformers"
        )
    cuts = {name for name, other in folder.splits.items() if other.server.file == split.server.file}
    path = folder.part_path(split, "server")
    return ServedModel(path, cuts, folder.task, threads=threads, device=device)


def _stripped(architecture: Any, family: Any, cuts: set[str]) -> Any:
    """The published class, built without the parts that the robot has: their weights are never looked for."""

    class Stripped(architecture):  # type: ignore[misc]
        def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
            super().__init__(config, *args, **kwargs)
            family.strip(self, cuts)

    Stripped.__name__ = Stripped.__qualname__ = architecture.__name__
    return Stripped


def _placed(torch: Any, device: str, dtype: str) -> tuple[Any, Any]:
    """(torch.device, torch.dtype) for the names in the parameters and in model.yaml. Raises ModelError."""
    if device not in ("auto", "cpu", "cuda"):
        raise ModelError(f"device {device!r}: a server part in torch runs on auto, cpu or cuda")
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise ModelError("device 'cuda': torch sees no NVIDIA GPU here; use cpu, or install torch for CUDA")
    where = torch.device("cuda" if gpu and device != "cpu" else "cpu")
    if dtype != "auto":
        return where, getattr(torch, dtype)
    if where.type == "cpu":
        return where, torch.float32
    return where, torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
