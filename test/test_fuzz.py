"""The fuzzer itself: a short run of every target with the usual kernels, and that it finds what is there."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools.fuzz.mutate import mutated
from tools.fuzz.targets import TARGETS, Target

ROOT = Path(__file__).parents[1]


def accepts(target: Target, data: bytes) -> bool:
    try:
        target.run(data)
    except target.refusals:
        return False
    return True


@pytest.mark.parametrize("name", TARGETS)
def test_targets_stand_a_few_thousand_inputs(name):
    target = TARGETS[name]()
    corpus, draw = target.corpus(), random.Random(5)
    for valid in corpus:
        target.run(valid)
    accepted = sum(accepts(target, mutated(corpus, draw, target.seal)) for _ in range(2000))
    assert 0 < accepted < 2000  # neither refused at the door nor all the same


def test_the_command_counts_inputs(tmp_path):
    command = [sys.executable, "-m", "tools.fuzz", "stream", "--plain", "--inputs", "300", "--workers", "2"]
    report = tmp_path / "report.json"
    done = subprocess.run(
        [*command, "--json", str(report)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (stream,) = json.loads(report.read_text())
    assert stream["inputs"] == 300 and stream["findings"] == 0


def test_a_wrong_answer_is_a_finding_and_its_input_is_kept(tmp_path):
    script = (
        "import sys; from tools.fuzz import targets, worker\n"
        "def broken(self, data): raise IndexError('seen')\n"
        "targets.Stream.run = broken\n"
        "sys.argv = ['worker', sys.argv[1]]; worker.main()"
    )
    kept = tmp_path / "current"
    orders = {"target": "stream", "module": "", "inputs": 5, "seed": 1, "hang_s": 10.0, "current": str(kept)}
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(orders)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0 and "IndexError: seen" in done.stderr
    raw = kept.read_bytes()
    assert raw[:4] != b"\0\0\0\0"


def test_an_input_that_takes_too_long_ends_the_worker(tmp_path):
    script = (
        "import sys, time; from tools.fuzz import targets, worker\n"
        "targets.Stream.run = lambda self, data: time.sleep(60)\n"
        "sys.argv = ['worker', sys.argv[1]]; worker.main()"
    )
    orders = {
        "target": "stream",
        "module": "",
        "inputs": 5,
        "seed": 1,
        "hang_s": 0.2,
        "current": str(tmp_path / "c"),
    }
    command = [sys.executable, "-c", script, json.dumps(orders)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert done.returncode == -signal.SIGALRM and "in main" in done.stderr


def test_unknown_targets_are_refused():
    done = subprocess.run(
        [sys.executable, "-m", "tools.fuzz", "nothing"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "there are stream" in done.stderr
