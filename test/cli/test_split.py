from __future__ import annotations

import json

import numpy as np
import pytest
import split_graphs

from qeil_ros.cli.app import main
from qeil_ros.models.folder import ModelFolder


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "residual.onnx"
    path.write_bytes(split_graphs.residual("n").SerializeToString())
    (tmp_path / "labels.txt").write_text("".join(f"class {number}\n" for number in range(10)))
    return path


def run(*words):
    return main(["split", *map(str, words)])


def test_the_cuts_are_listed(model, capsys):
    assert run(model, "--list") == 0
    out = capsys.readouterr().out
    assert "6 of 6 cuts, 10 nodes" in out
    (line,) = [line for line in out.splitlines() if line.strip().startswith("add_1")]
    assert "8x8x8" in line and "0.5 / 0.2 / 0.1" in line


def test_only_the_interesting_ones_are_listed(model, capsys):
    assert run(model, "--list", "--best") == 0
    out = capsys.readouterr().out
    assert "1 of 6 cuts" in out and "flatten_1" in out and "add_1" not in out


def test_the_list_as_json(model, tmp_path, capsys):
    assert run(model, "--list", "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["nodes"] == 10 and [cut["tensors"] for cut in found["cuts"]][2] == ["f"]
    cut = found["cuts"][2]
    assert cut["bytes"] == {"8": 512, "4": 256, "2": 128} and cut["shape"] == [8, 8, 8]
    assert cut["agent"]["memory_bytes"] == cut["agent"]["weight_bytes"] + cut["agent"]["activation_bytes"]
    assert run(model, "--list", "--json", tmp_path / "cuts.json") == 0
    assert json.loads((tmp_path / "cuts.json").read_text()) == found


def test_where_one_tensor_will_not_do_the_list_says_what_to_try(tmp_path, capsys):
    path = tmp_path / "branches.onnx"
    path.write_bytes(split_graphs.branches().SerializeToString())
    assert run(path, "--list", "--max-tensors", 2) == 0
    assert "relu_1+conv_2" in capsys.readouterr().out
    model = split_graphs.branches()
    del model.graph.node[-1]
    model.graph.output[0].CopyFrom(split_graphs.helper.make_tensor_value_info("s", 1, ["n", 4, 1, 1]))
    path.write_bytes(model.SerializeToString())
    assert run(path, "--list") == 0
    assert "try --max-tensors 2" in capsys.readouterr().out


def test_a_folder_is_made(model, tmp_path, capsys):
    labels = tmp_path / "labels.txt"
    made = tmp_path / "made"
    assert run(model, made, "--at", "add_1", "--labels", labels, "--local", "whole", "--licence", "MIT") == 0
    out = capsys.readouterr().out
    assert "f: 8x8x8 float32; halves and whole on 4 images: equal to the bit" in out
    folder = ModelFolder.load(made)
    assert (folder.name, folder.licence, list(folder.splits)) == ("residual", "MIT", ["f"])
    assert folder.has("local") and folder.input.scale == pytest.approx(1 / 255)
    (answer,) = folder.server().run(folder.agent().run(np.ones(folder.input.shape, np.float32)))
    assert len(answer.labels) == 5


def test_a_folder_with_several_cuts_is_made(model, tmp_path, capsys):
    words = [
        "--split",
        "early=relu_1",
        "--split",
        "late=i",
        "--labels",
        tmp_path / "labels.txt",
        "--json",
        "-",
    ]
    assert run(model, tmp_path / "made", *words, "--name", "net", "--mean", "0.5", "--std", "0.25") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["splits"]) == ["early", "late"] and found["model"] == "net"
    assert found["splits"]["early"]["tensors"] == ["b"] and found["splits"]["late"]["bit_equal"] == 4
    assert ModelFolder.load(tmp_path / "made").input.mean == (0.5, 0.5, 0.5)


def test_several_tensors_are_one_cut(tmp_path, capsys):
    path = tmp_path / "branches.onnx"
    path.write_bytes(split_graphs.branches().SerializeToString())
    for number, words in enumerate((["--at", "left", "--at", "right"], ["--split", "relu_1=left,right"])):
        assert run(path, tmp_path / str(number), *words, "--task", "embed") == 0
        assert "160 float32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say either --list, or where to cut with --at or --split"),
        (["--list", "--at", "f"], "say either --list, or where to cut"),
        (["--at", "f"], "say which model folder to make"),
        (["DIR", "--at", "e"], "the outputs also need the image through"),
        (["DIR", "--at", "ad_1"], "no tensor 'ad_1' in the graph; did you mean add_1"),
        (["DIR", "--split", "early"], "want NAME=TENSOR"),
        (["DIR", "--split", "a b=f"], "want NAME=TENSOR"),
        (["DIR", "--split", "a=f", "--split", "a=g"], "there is a split 'a' already"),
        (["DIR", "--at", "f"], "wants a word list"),
        (["DIR", "--at", "f", "--mean", "a,b"], "want numbers with commas between them"),
        (["DIR", "--at", "f", "--threshold", "2"], "threshold"),
        (["DIR", "--at", "f", "--check", "nowhere"], "nowhere: cannot be read as a picture"),
        (["--list", "--json", "/nowhere/cuts.json"], "cannot be written: No such file"),
        (["--list", "--image", "picture"], "no input 'picture'"),
    ],
)
def test_what_is_wrong_is_told(model, tmp_path, words, message, capsys):
    assert run(model, *(tmp_path / "made" if word == "DIR" else word for word in words)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_help_shows_how(capsys):
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert "Example: qeil split squeezenet.onnx --list --best" in out and "--split" in out
