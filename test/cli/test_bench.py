"""The form that benchmark results take, and the command that runs them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType

import pytest

from qeil_ros.cli.bench import load_benchmarks
from qeil_ros.cli.errors import CliError
from qeil_ros.resources import share_dir


@pytest.fixture(scope="module")
def benchmarks() -> ModuleType:
    return load_benchmarks(share_dir() / "bench")


@pytest.fixture(scope="module")
def harness(benchmarks: ModuleType) -> ModuleType:
    import bench.harness

    return bench.harness


def test_every_benchmark_says_what_it_measures(benchmarks: ModuleType) -> None:
    assert benchmarks.names()
    for name in benchmarks.names():
        module = benchmarks.load(name)
        assert module.DESCRIPTION and callable(module.run)
    with pytest.raises(KeyError):
        benchmarks.load("nothing")


def test_a_target_is_met_missed_or_absent(harness: ModuleType) -> None:
    assert harness.at_most("a", 3.0, "ms", 3.0).met is True
    assert harness.at_most("a", 3.01, "ms", 3.0).met is False
    assert harness.at_most("a", math.nan, "ms", 3.0).met is False
    assert harness.figure("a", 1.0, "ms").met is None
    compared = harness.against("a", 30.0, "us", "bare", 20.0, 1.5, 2.0)
    assert (compared.ratio, compared.target, compared.met) == (1.5, "ratio <= 2", True)
    assert harness.against("a", 50.0, "us", "bare", 20.0, 2.5, 2.0).met is False
    assert harness.against("a", 50.0, "us", "bare", 20.0, 2.5).met is None


def test_a_report_is_written_in_full(harness: ModuleType, tmp_path: Path) -> None:
    data = tmp_path / "input"
    data.write_bytes(b"abc")
    results = [harness.at_most("drops", 1.0, "images", 0.0), harness.figure("p99", math.nan, "ms")]
    report = harness.Report("name", {"quick": True}, [harness.input_file(data)], results)
    report.write(tmp_path / "deep" / "out.json")
    record = json.loads((tmp_path / "deep" / "out.json").read_text())
    assert list(record) == ["benchmark", "config", "inputs", "machine", "results"]
    assert record["inputs"] == [
        {"name": "input", "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    ]
    assert set(record["results"][0]) == {
        "name", "value", "unit", "peer", "peer_value", "ratio", "target", "met"
    }  # fmt: skip
    assert record["results"][0]["met"] is False and record["results"][1]["value"] is None
    assert record["machine"]["cores"] >= 1 and record["machine"]["packages"]["numpy"]
    assert [r.name for r in report.missed] == ["drops"]
    assert report.table().row_count == 2


def test_percentiles_are_values_that_occurred(harness: ModuleType) -> None:
    assert harness.median([4.0, 1.0, 3.0, 2.0]) == 2.0
    assert harness.percentile(map(float, range(1, 101)), 99) == 99.0
    assert math.isnan(harness.median([]))


def test_the_processor_is_named_on_x86_and_arm(harness: ModuleType, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast CPU\n\nprocessor\t: 1\nmodel name\t: Fast CPU\n")
    assert harness._processor(cpuinfo) == "Fast CPU"
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 1\n\nModel\t: Raspberry Pi 5\n")
    assert harness._processor(cpuinfo) == "Raspberry Pi 5"
    assert harness._processor(tmp_path / "nothing")


def test_without_a_checkout_the_command_says_so(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="run this in a checkout"):
        load_benchmarks(tmp_path / "bench")
