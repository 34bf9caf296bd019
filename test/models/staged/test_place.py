"""Places as they are written, and what is refused."""

from __future__ import annotations

import pytest

from qeil_ros.models.schema import ModelError
from qeil_ros.models.staged.place import Place


@pytest.mark.parametrize(
    "text, runtime, device, cores",
    [
        ("onnxruntime", "onnxruntime", "cpu", ()),
        ("openvino", "openvino", "CPU", ()),
        ("openvino:GPU.1", "openvino", "GPU.1", ()),
        ("onnxruntime:cuda", "onnxruntime", "cuda", ()),
        ("onnxruntime@0", "onnxruntime", "cpu", (0,)),
        ("openvino:CPU@0-2,5", "openvino", "CPU", (0, 1, 2, 5)),
    ],
)
def test_what_is_written(text, runtime, device, cores):
    place = Place.parse(text)
    assert (place.name, place.runtime, place.device, place.cores) == (text, runtime, device, cores)
    assert place.thread_count == max(1, len(cores))


@pytest.mark.parametrize(
    "text", ["", "tensorflow", "onnxruntime@", "openvino:@1", "onnxruntime@a", "openvino GPU"]
)
def test_what_is_no_place(text):
    with pytest.raises(ModelError, match="is no place"):
        Place.parse(text)


@pytest.mark.parametrize("text, said", [("openvino@3-1", "end before"), ("openvino@1,0-2", "named twice")])
def test_cores_that_make_no_sense(text, said):
    with pytest.raises(ModelError, match=said):
        Place.parse(text)


def test_what_is_on_the_processor():
    assert Place.parse("openvino@0").on_processor and not Place.parse("openvino:NPU").on_processor
    assert Place.parse("openvino@0,1").thread_count == 2
    assert Place("few", threads=3).thread_count == 3


def test_a_device_that_is_not_here_is_told():
    with pytest.raises(ModelError, match="cuda"):
        Place.parse("onnxruntime:cuda").open(b"")


def test_a_device_that_does_not_start_is_not_replaced_by_the_processor(monkeypatch):
    class Fallen:
        device = "onnxruntime CPUExecutionProvider"

    monkeypatch.setattr("qeil_ros.models.staged.place.Runtime", lambda *_, **__: Fallen())
    with pytest.raises(ModelError, match="it would use the processor"):
        Place.parse("onnxruntime:cuda", "gpu").open(b"")
    assert Place.parse("onnxruntime", "cpu").open(b"").device == Fallen.device
