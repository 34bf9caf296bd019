"""Our image preparation against the Hugging Face processors that model folders are exported with."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="comparing with transformers needs torch: pip install qeil-ros[torch]")
transformers = pytest.importorskip("transformers", reason="comparing needs transformers")
Image = pytest.importorskip("PIL.Image", reason="comparing needs pillow")

import tiny_transformers  # noqa: E402, F401 keeps transformers off the network

from qeil_ros.models.export_processor import TOLERANCE, input_spec, parity  # noqa: E402
from qeil_ros.models.schema import ModelError  # noqa: E402

PIL = transformers.models
PROCESSORS = {
    "CLIP 224": lambda: PIL.clip.image_processing_pil_clip.CLIPImageProcessorPil(),
    "GIT-base": lambda: PIL.clip.image_processing_pil_clip.CLIPImageProcessorPil(do_convert_rgb=False),
    "BLIP-2": lambda: PIL.blip.image_processing_pil_blip.BlipImageProcessorPil(
        size={"height": 224, "width": 224}
    ),
    "ViT": lambda: PIL.vit.image_processing_pil_vit.ViTImageProcessorPil(),
    "DINOv2": lambda: PIL.bit.image_processing_pil_bit.BitImageProcessorPil(size={"shortest_edge": 256}),
    "SigLIP": lambda: PIL.siglip.image_processing_pil_siglip.SiglipImageProcessorPil(
        size={"height": 384, "width": 384}
    ),
    "GIT-VaTeX": lambda: PIL.videomae.image_processing_pil_videomae.VideoMAEImageProcessorPil(),
}


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    """By name: the processor, and what its saved settings were read as."""
    made = {}

    def read(name):
        if name not in made:
            path = tmp_path_factory.mktemp("processor")
            processor = PROCESSORS[name]()
            processor.save_pretrained(path)
            made[name] = processor, input_spec(transformers, path)
        return made[name]

    return read


@pytest.mark.parametrize("name", PROCESSORS)
def test_photos_are_prepared_alike(specs, data_dir, name):
    processor, spec = specs(name)
    photos = sorted((data_dir / "images").rglob("*.jpg"))[::4]
    assert len(photos) >= 8
    for photo in photos:
        picture = np.array(Image.open(photo).convert("RGB"))
        assert parity(processor, spec, picture) <= TOLERANCE, photo


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("size", [(640, 480), (479, 641), (224, 224), (100, 77), (1280, 720), (33, 50)])
def test_synthetic_images_are_prepared_alike(specs, name, size):
    processor, spec = specs(name)
    width, height = size
    # Overshoot that is clipped between the passes depends on which of them is first. Pillow since 13 begins
    # with the columns for some tall images, Pillow before and torchvision never.
    low, high = (0, 256) if width >= height else (64, 192)
    noise = np.random.default_rng(0).integers(low, high, (height, width, 3), np.uint8)
    assert parity(processor, spec, noise) <= TOLERANCE
    steps = np.full((height, width, 3), low, np.uint8)
    steps[height // 3 :, width // 2 :] = (high - 1, low, 128)
    assert parity(processor, spec, steps) <= TOLERANCE


def test_what_the_settings_become(specs):
    clip, dino, siglip = (specs(name)[1] for name in ("CLIP 224", "DINOv2", "SigLIP"))
    assert (clip.resize, clip.shortest_edge, clip.width, clip.interpolation) == (
        "shortest",
        224,
        224,
        "bicubic",
    )
    assert (
        clip.antialias and clip.mean[0] == pytest.approx(0.48145466) and clip.scale == pytest.approx(1 / 255)
    )
    assert (dino.shortest_edge, dino.width, dino.height) == (256, 224, 224)
    assert (siglip.resize, siglip.width) == ("stretch", 384)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resample": 1}, "resample is 1; known are 2"),
        ({"do_resize": False}, "do_resize is false"),
        ({"size": {"longest_edge": 224, "shortest_edge": 100}}, "known are a height and width"),
        ({"do_center_crop": False}, "known are a height and width"),
        ({"image_std": [0.0, 0.0, 0.0]}, "std is"),
    ],
)
def test_settings_that_have_no_counterpart_are_told(tmp_path, settings, message):
    PIL.clip.image_processing_pil_clip.CLIPImageProcessorPil(**settings).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=message):
        input_spec(transformers, tmp_path)


def test_a_processor_that_does_more_than_it_tells_is_refused(tmp_path, monkeypatch):
    clip = PIL.clip.image_processing_pil_clip.CLIPImageProcessorPil
    clip().save_pretrained(tmp_path)
    monkeypatch.setattr(clip, "center_crop", lambda self, image, size, **_: image[:, -224:, -224:])
    with pytest.raises(ModelError, match="prepares images otherwise than its settings tell"):
        input_spec(transformers, tmp_path)
