"""`qeil devices`: what it shows of this machine and of files, what it measures, writes and refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_machine import FakeMachine

from qeil_ros.cli import main
from qeil_ros.cli.devices import measure, records, torch_gpus
from qeil_ros.models.staged.place import Place
from qeil_ros.planning import device as profiles
from qeil_ros.planning.placement.devices import as_devices
from qeil_ros.platform import Quality, Reading
from qeil_ros.platform.devices import Absent, Found, Machine, ProductError, Speed, Told
from qeil_ros.platform.devices import search as platform_search

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command on a machine with one processor and a GPU; returns what it printed."""
    fake = FakeMachine(tmp_path / "machine")
    gpu = Found("gpu", "gpu", "Some GPU", ("x:cuda",), flops_s={"fp32": Told(1e12, "told", True)})

    def search(*roots: Any) -> Machine:
        found = platform_search(*roots)
        return Machine(found.processor, (found.devices[0], gpu), found.absent)

    monkeypatch.setattr(records, "search", search)
    monkeypatch.setattr(records, "torch_gpus", lambda: ([], [Absent("CUDA (torch)", "for [some] reason")]))
    roots = ["--sysfs-root", str(fake.sys), "--procfs-root", str(fake.proc), "--dev-root", str(tmp_path)]

    def run(*options: str, code: int = 0) -> str:
        assert main(["devices", *roots, *options]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures nothing: the GPU computes in fp16 only, and reading its memory is not possible."""

    def flops(runtime: str, precision: str, **options: Any) -> Speed:
        if runtime == "x:cuda" and precision == "fp32":
            raise ProductError("out of cheese")
        return Speed(2e12, 1e12, "FLOP/s", f"{runtime} {precision}")

    def read(runtime: str, precision: str, **options: Any) -> Speed:
        raise ProductError(f"no {precision} by {runtime}")

    monkeypatch.setattr(measure, "flops", flops)
    monkeypatch.setattr(measure, "read_bandwidth", read)
    monkeypatch.setattr(measure, "stream", lambda *given: Speed(2e10, 1e10, "B/s", "STREAM copy"))
    monkeypatch.setattr(measure, "any_product", lambda *given: lambda: None)
    monkeypatch.setattr(measure, "_SECONDS", {False: 0.01, True: 0.01})


def test_this_machine_as_json(run: Run) -> None:
    told = json.loads(run("--json", "-"))
    cpu, gpu = told["devices"]
    assert cpu["name"] == "cpu" and "onnxruntime:cpu" in cpu["runtimes"]
    assert cpu["cores"]["quality"] == "stated" and "kernel" in cpu["cores"]["source"]
    assert cpu["memory_bytes"]["value"] == 1000 * 1024 and cpu["pool"] == "system"
    assert gpu["flops_s"]["fp32"] == {"value": 1e12, "source": "told", "quality": "derived"}
    assert told["processor"]["cpus"] == sorted(os.sched_getaffinity(0))
    assert told["processor"]["quota"] is None
    assert told["absent"]["CUDA (torch)"] == "for [some] reason"
    assert any("--measure" in note for note in told["notes"])  # of the wire


def test_this_machine_for_people(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = run()
    assert "cpu" in said and "Some GPU" in said and "not known" in said
    assert "processor:" in said and "for [some] reason" in said


def test_what_is_measured_goes_into_the_records(run: Run, speeds: None, tmp_path: Path) -> None:
    said = run(
        "--measure",
        "--quick",
        "--power",
        "cpu=15",
        "--power",
        "gpu=40.5",
        "--output",
        str(tmp_path / "m.yaml"),
    )
    assert "gpu: fp32 is not measured: out of cheese" in said.replace("\n", " ")
    assert "gpu: bandwidth is not measured: no fp16 by x:cuda" in said.replace("\n", " ")
    machine = profiles.read(tmp_path / "m.yaml")
    cpu, gpu = machine.devices
    assert cpu.measured.flops_s["fp32"].value == 2e12 and cpu.measured.flops_s["fp32"].quality == "measured"
    assert cpu.measured.bandwidth_bytes_s is not None
    assert "median of 10 GB/s" in cpu.measured.bandwidth_bytes_s.source
    assert gpu.measured.flops_s.keys() == {"fp16"} and gpu.measured.bandwidth_bytes_s is None
    power = gpu.power()
    assert power is not None and (power.value, power.source) == (40.5, "stated with --power")
    # A copy within the memory, since no bus is told.
    assert machine.wire is not None and machine.wire.link().bytes_s == 1e10
    (placed,) = as_devices(machine.devices, "fp32", ("cpu",))
    assert (placed.flops_s, placed.bandwidth_bytes_s, placed.power_w) == (2e12, 2e10, 15)
    assert json.loads(run(str(tmp_path / "m.yaml"), "--json", "-"))["devices"][0]["name"] == "cpu"


def test_cores_and_runtimes_can_be_devices_of_their_own(
    run: Run, speeds: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = min(os.sched_getaffinity(0))
    ran: list[tuple[str, set[int], int]] = []

    def flops(runtime: str, precision: str, threads: int, **options: Any) -> Speed:
        ran.append((runtime, os.sched_getaffinity(0), threads))
        return Speed(1e9, 1e9, "FLOP/s", runtime)

    monkeypatch.setattr(measure, "flops", flops)
    path = tmp_path / "two.yaml"
    places = ("--as", f"one=onnxruntime@{first}", "--as", "all=onnxruntime:cpu")
    before = os.sched_getaffinity(0)
    run(*places, "--measure", "--power", "one=2", "--power", "all=3", "--output", str(path))
    assert os.sched_getaffinity(0) == before
    # Each in fp32 and int8, on its own cores.
    assert ran[::2] == [
        (f"onnxruntime:cpu@{first}", {first}, 1),
        ("onnxruntime:cpu", before, len(before)),
    ]
    records = profiles.read(path).devices
    assert [(record.name, record.runtimes) for record in records] == [
        ("one", (f"onnxruntime:cpu@{first}",)),
        ("all", ("onnxruntime:cpu",)),
    ]
    assert records[0].cores is not None and records[0].cores.value == 1
    # A placement's runtimes are what stages are run at.
    assert Place.parse(records[0].runtimes[0]).cores == (first,)
    assert [device.power_w for device in as_devices(records)] == [2, 3]


def test_power_is_what_a_busy_device_takes_above_rest(
    run: Run, speeds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meter:
        def __init__(self, *roots: str) -> None:
            pass

        def mean(self, seconds: float, work: Any = None) -> Reading:
            return Reading("power/total", 7.5 if work else 3.0, "W", "power/psys", Quality.MEASURED, 0.0)

        def close(self) -> None:
            pass

    monkeypatch.setattr(measure, "PowerMeter", Meter)
    cpu, gpu = json.loads(run("--measure", "--json", "-"))["devices"]
    assert cpu["measured"]["power_w"]["value"] == 4.5
    assert cpu["measured"]["power_w"]["source"].startswith("power/psys, fp32 products by onnxruntime")
    assert "power_w" not in gpu["measured"]  # the machine's meter does not see into a card


def test_records_go_into_a_profile_beside_what_it_has(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    profiles.write(
        path, profiles.Device("robot", seconds_per_flop=1e-10, description="mine"), "by hand\n\nso"
    )
    run("--output", str(path))
    assert path.read_text().startswith("# by hand\n#\n# so\nformat: 1\n")
    found = profiles.read(path)
    assert (found.name, found.seconds_per_flop, found.description) == ("robot", 1e-10, "mine")
    assert [record.name for record in found.devices] == ["cpu", "gpu"]


def test_a_shipped_machine_is_shown(run: Run) -> None:
    told = json.loads(run("paper_a", "--json", "-"))
    assert [device["name"] for device in told["devices"]] == ["cpu", "gpu", "npu"]
    assert told["wire"]["bytes_s"]["source"].startswith("arXiv 2602.06057")
    assert "absent" not in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--power", "npu=3"], "power of npu: there is no such device here; there are cpu, gpu"),
        (["--power", "cpu"], "--power cpu: want a device and its watts, like cpu=15"),
        (["--power", "cpu=-1"], "--power cpu=-1: want a device and its watts"),
        (["--power", "cpu=nan"], "--power cpu=nan: want a device and its watts"),
        (["no_such"], "no device profile 'no_such'"),
        (["paper_b"], "paper_b: lists no devices"),
        (["paper_a", "--measure"], "are of this machine; leave the name out"),
        (["--as", "onnxruntime"], "--as onnxruntime: want a name and a place, like two=openvino:CPU@1"),
        (["--as", "a=abacus"], "'abacus' is no place; want RUNTIME[:DEVICE][@CORES]"),
        (
            ["--as", "a=onnxruntime:cuda"],
            "a=onnxruntime:cuda: nothing here runs it; there are onnxruntime:cpu",
        ),
        (["--as", "a=onnxruntime@4000"], "a: no core 4000 that this process may use"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run: Run, options: list[str], said: str) -> None:
    assert said in run(*options, code=2)


def test_a_file_that_is_no_profile_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes.yaml"
    path.write_text("shopping: [milk]\n")
    assert "notes.yaml: format: want 1" in run("--output", str(path), code=2)
    assert path.read_text() == "shopping: [milk]\n"
    assert "No such file" in run("--output", str(tmp_path / "none" / "x"), "--json", "/no/such/x", code=1)


# --- torch


def test_torch_without_cuda_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_gpus, "version", lambda package: "2.13.0+cpu")
    assert torch_gpus.torch_gpus() == (
        [],
        [Absent("CUDA (torch)", "this torch, 2.13.0+cpu, is built for processors only")],
    )


def test_torch_does_the_work() -> None:
    pytest.importorskip("torch")
    torch_gpus.any_product("torch:cpu", (4, 8, 16))()
    with pytest.raises(ProductError, match="torch:nowhere, fp32"):
        torch_gpus.any_product("torch:nowhere", (4, 8, 16))
    with pytest.raises(ProductError, match="int8 by torch"):
        torch_gpus.any_product("torch:cpu", (4, 8, 16), "int8")


def test_a_gpu_that_torch_sees_too_is_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [Found("gpu", "gpu", name, (f"torch:cuda:{i}",)) for i, name in enumerate(("A", "A", "B"))]
    monkeypatch.setattr(records, "torch_gpus", lambda: (seen, []))
    listed = (Found("cpu", "cpu", "C"), Found("gpu", "gpu", "A", ("x",)), Found("gpu1", "gpu", "A"))
    merged = records._with_torch(Machine(None, listed, ())).devices  # type: ignore[arg-type]
    assert [(found.name, found.runtimes) for found in merged] == [
        ("cpu", ()),
        ("gpu", ("x", "torch:cuda:0")),
        ("gpu1", ("torch:cuda:1",)),
        ("gpu2", ("torch:cuda:2",)),
    ]
