"""The seam behind which inference servers take each other's place."""

from __future__ import annotations

import importlib.metadata
import math
from concurrent.futures import Future

import numpy as np
import pytest
import tiny_models

from qeil_ros.models import engine as engines
from qeil_ros.models.engine import OnnxEngine, TransformersEngine, make_engine
from qeil_ros.models.folder import ModelError, ModelFolder
from qeil_ros.models.tasks import Answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ModelFolder.load(tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny"))


class Elsewhere:
    """An engine of another package."""

    device, depth = "far away", 2

    def __init__(self, folder, *, threads, device):
        self.splits = list(folder.splits)

    def submit(self, split, features, deadline_s=math.inf):
        done: Future[list[Answer]] = Future()
        done.set_result([Answer(text="from elsewhere")] * len(features))
        return done

    def close(self):
        pass


def test_the_part_chooses_its_engine(folder):
    engine = make_engine(folder, device="cpu")
    assert isinstance(engine, OnnxEngine) and engine.splits == ["mean"]
    (answer,) = engine.submit("mean", np.array([[1, 0, 0]], np.float32)).result(10)
    assert answer.labels[0] == "red"
    engine.close()
    engine.close()


def test_an_installed_engine_is_found_by_its_name(folder, monkeypatch):
    point = importlib.metadata.EntryPoint("elsewhere", f"{__name__}:Elsewhere", "qeil_ros.engines")
    monkeypatch.setattr(type(point), "load", lambda self: Elsewhere)
    monkeypatch.setattr(engines, "entry_points", lambda group: [point] if group == "qeil_ros.engines" else [])
    engine = make_engine(folder, name="elsewhere")
    (answer,) = engine.submit("mean", np.zeros((1, 3), np.float32)).result(1)
    assert answer.text == "from elsewhere"
    with pytest.raises(ModelError, match="no engine 'nowhere'; there are onnx, transformers, elsewhere"):
        make_engine(folder, name="nowhere")


def test_an_engine_refuses_a_part_that_is_not_its_own(folder):
    with pytest.raises(ModelError, match=r"its server part is 'server.onnx', no folder for transformers"):
        TransformersEngine(folder)
