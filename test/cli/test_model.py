from __future__ import annotations

import json

import pytest
import tiny_models

from qeil_ros.cli import main
from qeil_ros.models.folder import ModelFolder


@pytest.fixture
def halves(tmp_path):
    agent, server, labels = tiny_models.write_halves(tmp_path / "halves")
    return ["--agent", str(agent), "--server", str(server), "--labels", str(labels), "--name", "made"]


def test_create_makes_a_folder_and_describes_it(tmp_path, halves, capsys):
    folder = tmp_path / "made"
    options = ["--mean", "0.5,0.4,0.3", "--std", "0.5", "--scale", "0.01", "--layout", "NCHW", "--top-k", "3"]
    assert main(["model", "create", str(folder), *halves, *options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["digest"] == ModelFolder.load(folder).digest
    assert report["input"]["mean"] == [0.5, 0.4, 0.3] and report["input"]["std"] == [0.5, 0.5, 0.5]
    assert report["input"]["scale"] == 0.01
    assert report["task"]["top_k"] == 3
    assert report["splits"] == {
        "cut": {"shape": [3], "dtype": "float32", "agent": "here", "server": "here", "local": "none"}
    }


def test_create_refuses_what_does_not_fit_in_one_line(tmp_path, halves, capsys):
    folder = tmp_path / "made"
    assert main(["model", "create", str(folder), *halves, "--mean", "a,b"]) == 2
    assert "--mean" in capsys.readouterr().err
    assert main(["model", "create", str(folder), *halves, "--agent-output", "nothing"]) != 0
    error = capsys.readouterr().err
    assert "no output 'nothing'" in error and len(error.splitlines()) == 1
    assert not folder.exists()
    assert main(["model", "create", str(folder), *halves]) == 0
    assert main(["model", "create", str(folder), *halves]) != 0
    assert "exists" in capsys.readouterr().err
    assert main(["model", "create", str(folder), *halves, "--overwrite"]) == 0


def test_show_needs_no_model_runtime_and_no_part(tmp_path, capsys):
    path = tiny_models.classifier(tmp_path / "tiny")
    (path / "server.onnx").unlink()
    assert main(["model", "show", str(path)]) == 0
    text = capsys.readouterr().out
    assert "model: tiny" in text and "server: not on this machine" in text
    assert main(["model", "show", "no such model"]) != 0
    assert "shipped models (" in capsys.readouterr().err


def test_check_tries_every_part_that_is_there(tmp_path, capsys):
    path = tiny_models.classifier(tmp_path / "tiny")
    assert main(["model", "check", str(path), "--runs", "2", "--bits", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["splits"]["mean"]
    assert all(found[key] > 0 for key in ("agent_s", "code_s", "server_s", "local_s"))
    assert 0 < found["bytes"] < 64 and 0 <= found["distortion"] < 0.2
    (path / "local.onnx").unlink()
    assert main(["model", "check", str(path), "--runs", "1"]) == 0
    assert "not on this machine: local" in capsys.readouterr().out
    (path / "agent.onnx").write_bytes(b"changed")
    assert main(["model", "check", str(path), "--runs", "1"]) != 0
    assert "agent.onnx: sha256 is" in capsys.readouterr().err
