from __future__ import annotations

import shutil

import numpy as np
import pytest
import tiny_models
import yaml

from qeil_ros.models.folder import ZOO, ModelError, ModelFolder, resolve


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def edit(tiny, tmp_path):
    """A copy of the folder whose model.yaml was changed by a function."""

    def change(what):
        copy = tmp_path / "copy"
        shutil.copytree(tiny, copy)
        document = yaml.safe_load((copy / "model.yaml").read_text())
        what(document)
        (copy / "model.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        return copy

    return change


def test_reads_what_is_there(tiny):
    folder = ModelFolder.load(tiny)
    assert (folder.name, folder.version, folder.licence) == ("tiny", "1.0", "Apache-2.0")
    assert folder.input.shape == (1, 3, 8, 8)
    assert folder.default_split == "mean"
    assert folder.split().shape == (3,) and folder.split("mean").dtype == "float32"
    assert folder.task.kind == "classify"
    assert all(folder.has(role) for role in ("agent", "server", "local"))


def put(*path, value):
    def change(document):
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


def drop(*path):
    def change(document):
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (put("format", value=2), "format", "want 1, got 2"),
        (drop("name"), "name", "is missing"),
        (put("name", value=7), "name", "want a string, got 7"),
        (put("spilts", value={}), "spilts", "not a known key"),
        (put("default_split", value="other"), "default_split", "want one of mean, got 'other'"),
        (put("splits", value={}), "splits", "is empty"),
        (put("splits", value={"a b": {}}), "splits.a b", "letters, digits and underscores"),
        (put("splits", "mean", "shape", value=[3, -1]), "splits.mean.shape", r"got \[3, -1\]"),
        (put("splits", "mean", "shape", value=[]), "splits.mean.shape", "1 to 8 positive integers"),
        (put("splits", "mean", "dtype", value="float64"), "splits.mean.dtype", "got 'float64'"),
        (put("splits", "mean", "agent", value="agent.onnx"), "splits.mean.agent", "want a mapping"),
        (put("splits", "mean", "agent", "sha256", value="abc"), "splits.mean.agent.sha256", "64 lower-case"),
        (put("splits", "mean", "server", "file", value="../x"), "splits.mean.server.file", "below the model"),
        (put("splits", "mean", "server", "file", value="/x"), "splits.mean.server.file", "below the model"),
        (
            put("splits", "mean", "server", "file", value="x/"),
            "splits.mean.server.file",
            "'generate' wants a",
        ),
        (
            put("splits", "mean", "server", "file", value="x.bin"),
            "splits.mean.server.file",
            "ends in .onnx or /",
        ),
        (put("splits", "mean", "agent", "file", value="x/"), "splits.mean.agent.file", "below the model"),
        (
            put("splits", "mean", "agent", "weights", value={"file": "x"}),
            "splits.mean.agent.weights.sha256",
            "is missing",
        ),
        (
            put("splits", "mean", "agent", "task", value={"kind": "embed"}),
            "splits.mean.agent.task",
            "not a known",
        ),
        (put("splits", "mean", "local", "task", value={"kind": "generate"}), "splits.mean.local", "generate"),
        (put("task", value={"kind": "generate"}), "splits.mean.server.file", "cannot serve the task"),
        (
            put("task", value={"kind": "generate", "options": {"x": []}}),
            "task.options.x",
            "want a string, a finite number",
        ),
        (put("input", "widht", value=3), "input", "widht"),
        (put("input", "width", value=0), "input", "width is 0"),
        (put("input", value=None), "input", "want a mapping, got None"),
        (put("task", "kind", value="dream"), "task.kind", "got 'dream'"),
        (put("task", "top_k", value=0), "task.top_k", "from 1 to 1000, got 0"),
        (put("task", "activation", value="relu"), "task.activation", "got 'relu'"),
        (put("task", "scale", value=float("nan")), "task.scale", "finite number"),
        (put("task", "begin", value=1), "task.begin", "not a known key"),
    ],
)
def test_errors_name_file_key_and_value(edit, change, where, what):
    path = edit(change)
    with pytest.raises(ModelError, match=what) as error:
        ModelFolder.load(path)
    assert str(error.value).startswith(f"{path / 'model.yaml'}: {where}: ")


@pytest.mark.parametrize("text", ["[1, 2", "", "- a list", "\xff", "a: &a [*a]"])
def test_what_is_not_a_model_yaml_is_refused(tmp_path, text):
    (tmp_path / "model.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"model\.yaml"):
        ModelFolder.load(tmp_path)


def test_an_enormous_yaml_is_not_read(tmp_path):
    (tmp_path / "model.yaml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(ModelError, match="larger than"):
        ModelFolder.load(tmp_path)


def test_a_name_is_looked_up_among_the_shipped_models(tmp_path, monkeypatch):
    assert resolve("tabletop") == ZOO / "tabletop"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"no model 'nothing'.*tabletop"):
        resolve("nothing")
    for outside in ("", ".", "..", "../zoo/tabletop"):
        with pytest.raises(ModelError):
            resolve(outside)


def test_the_digest_is_of_what_both_sides_must_agree_on(tiny, edit):
    digest = ModelFolder.load(tiny).digest
    assert len(digest) == 64

    def unimportant(document):
        document["description"] = "another"
        document["input"]["layout"] = document["input"].pop("layout")  # another order
        document["input"]["mean"] = [0, 0, 0]  # the default, said aloud
        document["splits"]["mean"]["local"]["sha256"] = "0" * 64

    assert ModelFolder.load(edit(unimportant)).digest == digest


@pytest.mark.parametrize(
    "change",
    [
        put("splits", "mean", "server", "sha256", value="0" * 64),
        put("splits", "mean", "agent", "sha256", value="0" * 64),
        put("splits", "mean", "shape", value=[1, 3]),
        put("input", "scale", value=1 / 128),
        put("task", "top_k", value=3),
    ],
)
def test_the_digest_changes_with_each_of_them(tiny, edit, change):
    assert ModelFolder.load(edit(change)).digest != ModelFolder.load(tiny).digest


def test_a_changed_part_is_not_run(edit):
    path = edit(lambda document: None)
    with (path / "server.onnx").open("ab") as file:
        file.write(b"\0")
    folder = ModelFolder.load(path)
    folder.agent()
    with pytest.raises(ModelError, match=r"server\.onnx: sha256 is .* model\.yaml says"):
        folder.server()


def test_a_machine_may_hold_only_its_own_parts(edit):
    path = edit(drop("splits", "mean", "local"))
    (path / "server.onnx").unlink()
    folder = ModelFolder.load(path)
    assert folder.has("agent") and not folder.has("server") and not folder.has("local")
    assert folder.agent().run(np.zeros((1, 3, 8, 8), np.float32)).shape == (1, 3)
    with pytest.raises(ModelError, match=r"server\.onnx: cannot be read .* does not hold that part"):
        folder.server()
    with pytest.raises(ModelError, match="no such part"):
        folder.local()
    with pytest.raises(ModelError, match="no split 'other'; there are mean"):
        folder.agent("other")
