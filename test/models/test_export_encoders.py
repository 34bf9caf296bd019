"""Encoders and classifiers, cut between two layers: joined, the halves give what the whole gave."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install qeil-ros[torch]")
transformers = pytest.importorskip("transformers", reason="exporting needs transformers")
pytest.importorskip("onnxscript", reason="exporting needs onnxscript: pip install qeil-ros[torch]")

import tiny_transformers  # noqa: E402

from qeil_ros.models.export import Order, export  # noqa: E402
from qeil_ros.models.export_encoders import READ_AS, Whole, agent_half, load, server_half  # noqa: E402
from qeil_ros.models.export_source import ENCODERS  # noqa: E402
from qeil_ros.models.schema import ModelError  # noqa: E402


def test_every_encoder_that_is_known_can_be_read():
    assert set(READ_AS) == set(ENCODERS)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    base = tmp_path_factory.mktemp("encoders")

    def saved(architecture):
        path = base / architecture
        return path if path.exists() else tiny_transformers.encoder(path, architecture)

    return saved


@pytest.mark.parametrize("architecture", ENCODERS)
@pytest.mark.parametrize("after", [1, 3])
def test_joined_halves_equal_the_whole_to_the_bit(source, architecture, after):
    encoder, model = load(transformers, source(architecture), architecture)
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = Whole(model, encoder.output)(pixels)
        features = agent_half(model, after)(pixels)
        assert torch.equal(server_half(model, encoder.output, after)(features), wanted)
    assert not torch.equal(wanted[0], wanted[1])
    # What the model itself calls its answer.
    published = getattr(transformers, architecture).from_pretrained(source(architecture)).eval()
    with torch.no_grad():
        if architecture in ("CLIPModel", "SiglipModel"):
            expected = published.get_image_features(pixel_values=pixels).pooler_output
        elif architecture == "ViTModel":
            expected = published(pixels).last_hidden_state[:, 0]
        else:
            expected = getattr(published(pixels), encoder.output)
    torch.testing.assert_close(wanted, expected)


@pytest.mark.parametrize("architecture", ["CLIPModel", "SiglipVisionModel", "Dinov2Model"])
def test_an_exported_encoder_gives_the_embedding_of_the_whole(source, tmp_path, architecture):
    folder = export(source(architecture), tmp_path / "out", Order(after_layers=(2,)))
    assert (folder.licence, folder.task.kind, list(folder.splits)) == ("apache-2.0", "embed", ["layer2"])
    pixels = np.random.default_rng(1).standard_normal((3, *folder.input.shape[1:])).astype(np.float32)
    features = np.concatenate([folder.agent().run(row[None]) for row in pixels])
    answers = folder.server().run(features)  # three rows at a time: the batch is open
    encoder, model = load(transformers, source(architecture), architecture)
    with torch.no_grad():
        wanted = Whole(model, encoder.output)(torch.tensor(pixels)).numpy()
    for answer, row in zip(answers, wanted, strict=True):
        assert np.linalg.norm(answer.embedding - row) <= 1e-5 * np.linalg.norm(row)


def test_an_exported_classifier_gives_the_labels_of_the_whole(source, tmp_path):
    architecture = "ViTForImageClassification"
    folder = export(source(architecture), tmp_path / "out", Order(after_layers=(3, 1)))
    assert list(folder.splits) == ["layer3", "layer1"] and folder.default_split == "layer3"
    pixels = np.random.default_rng(1).standard_normal((4, *folder.input.shape[1:])).astype(np.float32)
    model = transformers.ViTForImageClassification.from_pretrained(source(architecture)).eval()
    with torch.no_grad():
        chance = model(torch.tensor(pixels)).logits.softmax(-1).numpy()
    names = ["cat", "dog", "traffic light"]  # a label is one line
    for split in folder.splits:
        features = np.concatenate([folder.agent(split).run(row[None]) for row in pixels])
        for answer, row in zip(folder.server(split).run(features), chance, strict=True):
            assert answer.labels == [names[index] for index in np.argsort(-row)]
            assert answer.scores == pytest.approx(sorted(row, reverse=True), abs=1e-5)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (Order(after_layers=(4,)), "the model has 3 layers, cut behind 1 to 3"),
        (Order(cuts=("vit",)), "cuts: is for models that answer with text, not for ViTModel"),
        (Order(prompt="what is it"), "prompt: is for models that answer with text"),
    ],
)
def test_an_order_that_does_not_fit_is_refused(source, tmp_path, order, message):
    with pytest.raises(ModelError, match=message):
        export(source("ViTModel"), tmp_path / "out", order)
    assert not (tmp_path / "out").exists()
