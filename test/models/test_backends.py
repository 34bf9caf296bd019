"""What runs packed weights: every backend, the choice between them, and what is remembered of it."""

from __future__ import annotations

import importlib.util
import json
import platform
import stat
import sys

import numpy as np
import pytest
import weight_models

from qeil_ros.models import backends
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.quantize import WeightPlan, quantize_graph
from qeil_ros.models.quantize_folder import quantize_folder
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.schema import ModelError
from qeil_ros.models.weights import PackedModel

openvino_only = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed (extra openvino)"
)
BACKENDS = [
    pytest.param(name, marks=[openvino_only] if name == "openvino" else []) for name in backends.BACKENDS
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The file in which measurements of this test are remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "qeil" / "backends.json"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("net")
    weight_models.network(path / "net.onnx", conv=True)
    quantize_graph(path / "net.onnx", path / "plain.qwt", WeightPlan((8, 4)))
    quantize_graph(path / "net.onnx", path / "tuned.qwt", WeightPlan((8, 4)), images=weight_models.images(64))
    return path


@pytest.mark.parametrize("file", ["plain.qwt", "tuned.qwt"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_all_backends_give_the_same_features(network, backend, file):
    exact = Runtime(network / "net.onnx")
    runtime = backends.build(PackedModel(network / file), 8, backend, shape=weight_models.IMAGE)
    assert runtime.input().shape == weight_models.IMAGE and runtime.output("features").dtype == "float32"
    found, wanted = [], []
    for image in weight_models.images(20, seed=8):
        found.append(runtime.run({"image": image}, "features"))
        wanted.append(exact.run({"image": image}, "features"))
    error = np.linalg.norm(np.subtract(found, wanted)) / np.linalg.norm(wanted)
    assert error < (0.1 if backend == "openvino" else 0.02)
    assert backend.split("-")[0] in runtime.device
    with pytest.raises(ModelError, match="no output 'nothing'; it has features"):
        runtime.output("nothing")


def test_what_is_not_possible_is_refused(network):
    packed = PackedModel(network / "plain.qwt")
    with pytest.raises(ModelError, match="no backend 'tvm'; there are auto, onnxruntime"):
        backends.build(packed, 8, "tvm")
    with pytest.raises(ModelError, match="runs on the processor; device is 'cuda'"):
        backends.build(packed, 8, "onnxruntime-int8", device="cuda")


@openvino_only
def test_what_openvino_cannot_compile_is_said(tmp_path):
    from qeil_ros.models.runtime_openvino import OpenVinoRuntime

    with pytest.raises(ModelError, match=r"x\.onnx: OpenVINO cannot compile it"):
        OpenVinoRuntime(b"no model", name="x.onnx")


def test_another_backend_must_be_clearly_faster():
    assert backends.fastest({"onnxruntime": 1.0, "onnxruntime-int8": 1.1}) == "onnxruntime-int8"
    assert backends.fastest({"onnxruntime": 1.0, "onnxruntime-int8": 1.3}) == "onnxruntime"
    assert backends.fastest({"onnxruntime": 9, "onnxruntime-int8": 4, "openvino": 3}) == "openvino"
    assert backends.fastest({"onnxruntime": 9.0}) == "onnxruntime", "a graph too old for int8"


def test_it_is_measured_once_and_remembered(network, cache):
    arguments = {"threads": 1, "shape": weight_models.IMAGE, "dtype": "float32"}
    first = backends.choose(network / "plain.qwt", "digest", **arguments)
    assert first.note == "measured now" and set(first.times_ms) == {"onnxruntime", "onnxruntime-int8"}
    assert all(0 < ms < 1000 for ms in first.times_ms.values())
    again = backends.choose(network / "gone.qwt", "digest", **arguments)
    assert (again.backend, again.times_ms, again.note) == (first.backend, first.times_ms, "measured before")
    assert len(json.loads(cache.read_text())) == 1
    other = backends.choose(network / "plain.qwt", "another digest", **arguments)
    assert other.note == "measured now" and len(json.loads(cache.read_text())) == 2


def test_a_measurement_that_fails_leaves_the_default(network, cache):
    choice = backends.choose(
        network / "gone.qwt", "digest", threads=1, shape=weight_models.IMAGE, dtype="float32"
    )
    assert choice.backend == backends.DEFAULT and "gone.qwt: cannot be read" in choice.note
    assert not cache.exists()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": {"backend": "tvm", "times_ms": {}}}'])
def test_a_spoiled_memory_is_forgotten(cache, content):
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert backends._read(cache) == {}


def test_only_so_much_is_remembered(cache):
    for number in range(70):
        backends._remember(cache, backends._read(cache), str(number), backends.Choice("onnxruntime", {}))
    assert list(backends._read(cache)) == [str(number) for number in range(6, 70)]


def test_a_read_only_home_is_no_problem(cache):
    cache.parent.parent.mkdir()
    cache.parent.write_text("in the way")
    backends._remember(cache, {}, "key", backends.Choice("onnxruntime", {}))
    assert stat.S_ISREG(cache.parent.stat().st_mode)


def test_processors_whose_products_saturate_get_seven_bits(tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    for machine, flags, expected in (
        ("x86_64", "sse2 avx2", True),
        ("x86_64", "avx2 avx512_vnni", False),
        ("x86_64", "avx2 avx_vnni", False),
        ("aarch64", "asimd", False),
    ):
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        cpuinfo.write_text(f"flags : {flags}\n")
        assert backends.saturates(cpuinfo) is expected
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert backends.saturates(tmp_path / "none")


def test_a_slow_part_is_tried_with_openvino_and_a_fast_one_not(network, monkeypatch):
    asked = []

    def build(packed, bits, backend, **kind):
        asked.append(backend)
        if backend == "openvino":
            raise ModelError("not installed")
        return Runtime(network / "net.onnx")

    monkeypatch.setattr(backends, "build", build)
    times = backends.measure(network / "plain.qwt", 1, weight_models.IMAGE, "float32")
    assert set(times) == {"onnxruntime", "onnxruntime-int8"} and "openvino" not in asked
    monkeypatch.setattr(backends, "WORTH_OPENVINO_MS", 0.0)
    assert "openvino" not in backends.measure(network / "plain.qwt", 1, weight_models.IMAGE, "float32")
    assert "openvino" in asked


# ---------------------------------------------------------------- through a model folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    plain = ModelFolder.load(weight_models.folder(path / "plain"))
    quantize_folder(plain, path / "packed", WeightPlan((8, 4, 2)), images=weight_models.images(64))
    return plain, ModelFolder.load(path / "packed")


def test_auto_takes_what_was_measured(folders):
    agent = folders[1].agent()
    assert agent.backend == agent.choice.backend in ("onnxruntime", "onnxruntime-int8")
    assert agent.choice.note == "measured now"
    assert folders[1].agent().choice.note == "measured before"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_that_is_named_is_taken_unmeasured(folders, backend, cache):
    agent = folders[1].agent(backend=backend)
    assert agent.backend == backend and not cache.exists()
    (image,) = weight_models.images(1)
    wanted = folders[0].agent().run(image)
    assert np.abs(agent.run(image) - wanted).max() < 0.2 * np.abs(wanted).max()


@openvino_only
def test_an_onnx_file_runs_on_openvino_as_it_is(folders):
    (image,) = weight_models.images(1)
    agent = folders[0].agent(backend="openvino")
    np.testing.assert_allclose(agent.run(image), folders[0].agent().run(image), atol=1e-4)
    assert agent.widths == () and agent.bits == 0 and agent.device.startswith("openvino")


def test_an_onnx_file_has_no_int8_form(folders):
    with pytest.raises(ModelError, match=r"wants packed weights \(\.qwt; made by `qeil quantize`\)"):
        folders[0].agent(backend="onnxruntime-int8")
    with pytest.raises(ModelError, match="no backend 'tvm'"):
        folders[1].agent(backend="tvm")


def test_packed_weights_load_without_the_package_onnx(folders):
    """What a robot does: neither onnx nor a framework may come in."""
    import subprocess

    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from qeil_ros.models.folder import ModelFolder\n"
        f"agent = ModelFolder.load({str(folders[1].path)!r}).agent(backend='onnxruntime-int8')\n"
        "agent.set_bits(2); assert agent.wait(60) and agent.bits == 2, agent.problem\n"
        "print([name for name in ('torch', 'transformers', 'openvino', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
