"""A local Hugging Face folder becomes a model folder, whose halves give what the whole gave."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import yaml

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install qeil-ros[torch]")
transformers = pytest.importorskip("transformers", reason="exporting needs transformers")
pytest.importorskip("onnxscript", reason="exporting needs onnxscript: pip install qeil-ros[torch]")

import tiny_transformers  # noqa: E402

from qeil_ros.models.engine import TransformersEngine  # noqa: E402
from qeil_ros.models.export import Local, Order, export  # noqa: E402
from qeil_ros.models.folder import ModelError, ModelFolder, file_sha256  # noqa: E402
from qeil_ros.models.pipeline import AgentPipeline  # noqa: E402
from qeil_ros.models.sampling import Sampling  # noqa: E402
from qeil_ros.models.transformers_part import GeneratingPart  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def no_network():
    """Every connection to elsewhere is an error, for all that this module exports and serves."""

    def refuse(self, address):
        raise AssertionError(f"went to the network: {address}")

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", refuse)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    base = tmp_path_factory.mktemp("published")
    return {
        "git": tiny_transformers.git(base / "git"),
        "video": tiny_transformers.git(base / "video", frames=3),
        "blip2": tiny_transformers.blip2(base / "blip2"),
        "t5": tiny_transformers.blip2(base / "t5", t5=True),
    }


@pytest.fixture(scope="module")
def exported(sources, tmp_path_factory):
    base = tmp_path_factory.mktemp("exported")
    made: dict[str, ModelFolder] = {}

    def folder(name: str) -> ModelFolder:
        if name not in made:
            cuts = ("qformer",) if name == "t5" else ()
            order = Order(cuts=cuts, options={"max_new_tokens": 12})
            made[name] = export(sources[name], base / name, order)
        return made[name]

    return folder


@pytest.fixture
def same_graphs(exported, monkeypatch):
    """Takes the graphs of the exported models, where a test is about something else: torch exports slowly."""
    import qeil_ros.models.export_onnx as export_onnx

    def copied(module, example, path, **_):
        model = "git" if path.name == "vision.onnx" else "blip2"
        shutil.copyfile(exported(model).path / path.name, path)
        with torch.no_grad():
            return 0.0, module(example).numpy()

    exported("git")
    exported("blip2")
    monkeypatch.setattr(export_onnx, "to_onnx", copied)


def whole(source: Path, pixels: np.ndarray, **options) -> np.ndarray:
    """Token ids of the published model on pixels [B, 3, H, W] or [B, frames, 3, H, W], run as published."""
    config = transformers.AutoConfig.from_pretrained(source)
    model = getattr(transformers, config.architectures[0]).from_pretrained(source).eval()
    return model.generate(pixel_values=torch.tensor(pixels), **options).numpy()


def features_of(folder: ModelFolder, split: str, pixels: np.ndarray) -> np.ndarray:
    """By the agent part in ONNX, frame by frame as on a robot."""
    agent = folder.agent(split)
    rows = [agent.run(row) for row in pixels.reshape(-1, 1, *folder.input.shape[1:])]
    return np.concatenate(rows).reshape(*pixels.shape[:-3], *folder.split(split).shape)


def pictures(folder: ModelFolder, count: int, frames: int = 1, seed: int = 1) -> np.ndarray:
    shape = (count, *((frames,) if frames > 1 else ()), *folder.input.shape[1:])
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("git", "vision"),
        ("video", "vision"),
        ("blip2", "vit"),
        ("blip2", "qformer"),
        ("t5", "qformer"),
    ],
)
def test_the_halves_give_the_token_ids_of_the_whole(sources, exported, name, cut):
    folder = exported(name)
    pixels = pictures(folder, 4, frames=3 if name == "video" else 1)
    part = folder.server(cut)
    ids = part.token_ids(features_of(folder, cut, pixels))
    expected = whole(sources[name], pixels, max_new_tokens=12)
    prefix = expected.shape[1] - ids.shape[1]  # what the answer continues
    assert np.array_equal(ids, expected[:, prefix:])
    assert len({tuple(row) for row in ids}) == 4  # the pictures were told apart
    assert np.all(expected[:, :prefix] == expected[0, :prefix])


def test_a_batch_of_several_robots_is_answered_as_each_alone(exported):
    folder = exported("git")
    features = features_of(folder, "vision", pictures(folder, 5))
    part = folder.server()
    together = part.run(features)
    assert [answer.text for answer in together] == [part.run(row[None])[0].text for row in features]
    assert all(0 < answer.confidence <= 1 for answer in together)
    words = together[0].text.split()
    assert words and set(words) <= set(tiny_transformers.WORDS[4:])  # no special tokens


def test_the_confidence_is_the_mean_of_the_tokens_probabilities(sources, exported):
    folder = exported("blip2")
    pixels = pictures(folder, 3)
    part = folder.server("vit")
    features = features_of(folder, "vit", pixels)
    answers, ids = part.run(features), part.token_ids(features)
    model = transformers.Blip2ForConditionalGeneration.from_pretrained(sources["blip2"]).eval()
    for row, answer in enumerate(answers):
        end = np.flatnonzero(ids[row] == 2)
        tokens = ids[row][: end[0] + 1] if len(end) else ids[row]
        prompt = [tiny_transformers.WORDS.__len__()] * 6 + [1]
        text = torch.tensor([[*prompt, *tokens.tolist()]])
        with torch.no_grad():
            logits = model(pixel_values=torch.tensor(pixels[row : row + 1]), input_ids=text).logits
        chance = logits.softmax(-1)[0, len(prompt) - 1 : -1].gather(-1, torch.tensor(tokens)[:, None])
        assert answer.confidence == pytest.approx(float(chance.mean()), abs=1e-4)


@pytest.mark.parametrize("name", ["git", "t5"])
def test_answers_are_drawn(exported, name):
    folder = exported(name)
    (split,) = folder.splits.values()
    part = folder.server()
    (one,) = features_of(folder, split.name, pictures(folder, 1))
    rows = np.stack([one] * 12)
    before = torch.random.get_rng_state()
    drawn = [answer.text for answer in part.sample(rows, Sampling(1.0, seed=3))]
    assert torch.equal(torch.random.get_rng_state(), before), "other users of torch draw what they would have"
    assert len(set(drawn)) > 3
    assert drawn == [answer.text for answer in part.sample(rows, Sampling(1.0, seed=3))]
    greedy = part.run(one[None])[0]
    cold = part.sample(rows, Sampling(0.001, seed=3))
    assert {answer.text for answer in cold} == {greedy.text}
    assert cold[0].confidence == pytest.approx(greedy.confidence, abs=1e-5)


def test_options_and_prompt_reach_generate(sources, same_graphs, tmp_path):
    order = Order(
        cuts=("qformer",),
        prompt="w1 w2",
        options={"num_beams": 3, "max_new_tokens": 6, "repetition_penalty": 1.5},
    )
    folder = export(sources["blip2"], tmp_path / "beams", order)
    assert list(folder.splits) == ["qformer"]
    pixels = pictures(folder, 2)
    part = folder.server()
    features = features_of(folder, "qformer", pixels)
    prompt = [[64] * 6 + tiny_transformers.tokenizer()("w1 w2").input_ids] * 2
    expected = whole(sources["blip2"], pixels, input_ids=torch.tensor(prompt), **order.options)
    assert np.array_equal(part.token_ids(features), expected[:, len(prompt[0]) :])
    assert all(0 < answer.confidence <= 1 for answer in part.run(features))
    held = {name.split(".")[0] for name in tensors(folder)}
    assert "vision_model" not in held and "qformer" not in held and "language_model" in held


def tensors(folder: ModelFolder) -> dict[str, object]:
    from safetensors import safe_open

    with safe_open(folder.path / "server" / "model.safetensors", "np") as file:
        return {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 not a dict


def test_the_server_does_not_hold_what_the_robot_has(exported):
    assert not [name for name in tensors(exported("git")) if "image_encoder" in name]
    assert not [name for name in tensors(exported("blip2")) if "vision_model" in name]
    for folder in (exported("git"), exported("blip2")):
        names = {file.name for file in (folder.path / "server").iterdir()}
        assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= names
        assert not [name for name, _ in part_parameters(folder) if "vision" in name and "project" not in name]


def part_parameters(folder: ModelFolder):
    part = folder.server()
    assert isinstance(part, GeneratingPart)
    return list(part.model._model.named_parameters())


def test_cuts_that_share_a_folder_are_loaded_once(exported):
    folder = exported("blip2")
    engine = TransformersEngine(folder, device="cpu")
    try:
        assert engine.splits == ["vit", "qformer"]
        vit, qformer = (engine._parts[name] for name in engine.splits)
        assert vit.model is qformer.model
        pixels = pictures(folder, 2)
        texts = [
            [answer.text for answer in engine.submit(cut, features_of(folder, cut, pixels)).result(60)]
            for cut in engine.splits
        ]
        assert texts[0] == texts[1]
    finally:
        engine.close()


def test_keys_and_values_are_kept_between_the_tokens(exported):
    part = exported("git").server()
    seen = []
    part.model._model.git.embeddings.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    part.run(np.zeros((1, *exported("git").split().shape), np.float32))
    assert len(seen) > 1 and set(seen) == {1}


def test_a_still_picture_stands_for_a_clip_and_the_order_of_frames_matters(exported):
    folder = exported("video")
    part = folder.server()
    clip = features_of(folder, "vision", pictures(folder, 1, frames=3))
    still = part.token_ids(clip[:, 0])
    assert np.array_equal(still, part.token_ids(np.repeat(clip[:, :1], 3, axis=1)))
    assert not np.array_equal(part.token_ids(clip), part.token_ids(clip[:, ::-1]))
    before = clip.copy()
    part.run(clip)
    assert np.array_equal(clip, before)  # the temporal embeddings are not added to the caller's array
    with pytest.raises(ValueError, match=r"or 3 of them a row, got \[1, 2, 17, 32\]"):
        part.run(clip[:, :2])


def test_half_precision_serves_too(exported, tmp_path):
    copy = tmp_path / "half"
    shutil.copytree(exported("git").path, copy)
    document = yaml.safe_load((copy / "model.yaml").read_text())
    document["task"]["dtype"] = "bfloat16"
    (copy / "model.yaml").write_text(yaml.safe_dump(document))
    folder = ModelFolder.load(copy)
    part = folder.server()
    assert part.device == "transformers cpu bfloat16"
    assert {weight.dtype for _, weight in part_parameters(folder)} == {torch.bfloat16}
    assert part.run(np.zeros((2, *folder.split().shape), np.float32))[0].text


def test_stored_weights_may_be_half_as_large(sources, same_graphs, tmp_path):
    folder = export(sources["git"], tmp_path / "small", Order(stored="float16"))
    assert {entry.get_dtype() for entry in tensors(folder).values()} == {"F16"}


def test_the_robots_half_runs_without_torch(exported):
    for name in ("git", "blip2"):
        code = (
            "import sys, numpy as np\n"
            "from qeil_ros.models.folder import ModelFolder\n"
            "from qeil_ros.models.pipeline import AgentPipeline\n"
            f"folder = ModelFolder.load({str(exported(name).path)!r})\n"
            "pipeline = AgentPipeline(folder)\n"
            "image = pipeline.prepare(np.zeros((48, 64, 3), np.uint8), 64, 48, 192, 'rgb8')\n"
            "for split in pipeline.splits:\n"
            "    assert len(pipeline.code(pipeline.features(image, split), 4)) > 0\n"
            "print([name for name in ('torch', 'transformers', 'onnx') if name in sys.modules])\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "[]"


def test_the_pipeline_prepares_codes_and_the_server_answers(exported):
    folder = exported("blip2")
    pipeline = AgentPipeline(folder)
    picture = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)
    image = pipeline.prepare(picture, 120, 90, 360, "rgb8")
    from qeil_ros.codec import decode

    coded = bytes(pipeline.code(pipeline.features(image, "qformer"), 8))
    assert folder.server("qformer").run(decode(coded)[None])[0].text


def test_licences_digests_and_legal_texts(sources, same_graphs, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(sources["git"], source)
    (source / "LICENSE").write_text("the licence")
    local = tiny_models.classifier(tmp_path / "local")  # a graph that fits nothing: see below
    folder = export(
        source, tmp_path / "out", Order(server_licence="Apache-2.0", name="captions", version="2")
    )
    assert (folder.name, folder.version, folder.licence) == ("captions", "2", "mit")
    split = folder.split()
    assert (split.agent.licence, split.server.licence) == ("mit", "Apache-2.0")
    assert (split.agent.kind, split.server.kind) == ("onnx", "transformers")
    assert (folder.path / "LICENSE").read_text() == "the licence"
    with (folder.path / "server" / "generation_config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ModelError, match=r"server: sha256 is .* the file was changed"):
        folder.server()
    with pytest.raises(ModelError, match="exists; choose another"):
        export(source, tmp_path / "out", Order())
    wrong = Order(local={"vision": Local(local / "local.onnx", labels=local / "words.txt")})
    with pytest.raises(ModelError, match=r"vision_local.onnx: tensor 'features' is \[None, 3\]"):
        export(source, tmp_path / "wrong", wrong)
    assert not (tmp_path / "wrong").exists()


def test_a_local_part_has_its_own_task(sources, same_graphs, tmp_path):
    weights = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(17 * 32, 3))
    with torch.no_grad():
        matrix, bias = weights[1].weight.numpy().T.copy(), weights[1].bias.numpy()
    graph = tiny_models._graph(
        [
            ("Flatten", ["features"], ["flat"]),
            ("MatMul", ["flat", "matrix"], ["product"]),
            ("Add", ["product", "bias"], ["scores"]),
        ],
        inputs={"features": ("float32", ["B", 17, 32])},
        outputs={"scores": ("float32", ["B", 3])},
        constants={"matrix": matrix, "bias": bias},
    )
    (tmp_path / "head.onnx").write_bytes(graph)
    (tmp_path / "labels.txt").write_text("clear\nblocked\nunsure\n")
    order = Order(
        local={"vision": Local(tmp_path / "head.onnx", labels=tmp_path / "labels.txt", licence="CC0-1.0")}
    )
    folder = export(sources["git"], tmp_path / "out", order)
    features = features_of(folder, "vision", pictures(folder, 2))
    answers = folder.local().run(features)
    assert {answers[0].labels[0], answers[1].labels[0]} <= {"clear", "blocked", "unsure"}
    assert sum(answers[0].scores) == pytest.approx(1)
    assert folder.split().local.licence == "CC0-1.0"
    assert folder.server().run(features)[0].text  # the server's task is another one


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: (path / "config.json").unlink(), r"configuration \(config.json\) is missing"),
        (lambda path: (path / "model.safetensors").unlink(), r"the weights \(model.safetensors or .*missing"),
        (
            lambda path: (path / "preprocessor_config.json").unlink(),
            r"settings \(preprocessor_config.json or",
        ),
        (
            lambda path: [(path / name).unlink() for name in ("tokenizer.json",)],
            r"the tokenizer \(tokenizer.json or .* is missing",
        ),
        (
            lambda path: tiny_transformers.edit_config(path, architectures=["LlamaForCausalLM"]),
            "architecture is 'LlamaForCausalLM'; known are GitForCausalLM, Blip2For",
        ),
        (lambda path: (path / "config.json").write_text("{"), "config.json: cannot be read as JSON"),
        (lambda path: (path / "model.safetensors").write_bytes(b"junk"), "cannot be exported"),
        (
            lambda path: (path / "model.safetensors").rename(path / "model.safetensors.index.json"),
            "index.json: cannot be read as JSON",
        ),
    ],
)
def test_what_a_folder_lacks_is_told(sources, tmp_path, change, message):
    source = tmp_path / "source"
    shutil.copytree(sources["git"], source)
    change(source)
    with pytest.raises(ModelError, match=message):
        export(source, tmp_path / "out", Order())
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (Order(cuts=("qformer",)), "no cut 'qformer'; GitForCausalLM has vision"),
        (Order(after_layers=(2,)), "after_layers: is for encoders, not for GitForCausalLM"),
        (Order(dtype="int4"), "dtype is 'int4'"),
        (Order(options={"max_new_token": 3}), "'max_new_token' is no option of generate"),
        (Order(options={"output_logits": False}), "'output_logits' is no option of generate"),
    ],
)
def test_an_order_that_does_not_fit_is_refused(sources, same_graphs, tmp_path, order, message):
    with pytest.raises(ModelError, match=message):
        export(sources["git"], tmp_path / "out", order)
    assert not (tmp_path / "out").exists()


def test_missing_weights_are_not_made_up(sources, tmp_path):
    from safetensors.numpy import load_file, save_file

    source = tmp_path / "source"
    shutil.copytree(sources["git"], source)
    weights = load_file(source / "model.safetensors")
    del weights["git.encoder.layer.0.attention.self.query.weight"]
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"the weights lack git\.encoder\.layer\.0\.attention\.self\.query\.weight"
    ):
        export(source, tmp_path / "out", Order())


def test_a_graph_too_large_for_one_file_has_its_weights_beside_it(sources, tmp_path, monkeypatch):
    import qeil_ros.models.export_onnx as export_onnx

    monkeypatch.setattr(export_onnx, "MAX_FILE_BYTES", 10_000)
    folder = export(sources["git"], tmp_path / "out", Order())
    part = folder.split().agent
    assert part.weights is not None and part.weights.file == "vision.onnx.data"
    features = features_of(folder, "vision", pictures(folder, 1))
    assert np.isfinite(features).all()
    digest = folder.digest
    data = folder.path / part.weights.file
    data.write_bytes(bytes([data.read_bytes()[0] ^ 1]) + data.read_bytes()[1:])
    with pytest.raises(ModelError, match=r"vision.onnx.data: sha256 is"):
        folder.agent()
    document = yaml.safe_load((folder.path / "model.yaml").read_text())
    document["splits"]["vision"]["agent"]["weights"]["sha256"] = file_sha256(data)
    (folder.path / "model.yaml").write_text(yaml.safe_dump(document))
    assert ModelFolder.load(folder.path).digest != digest
