"""Device profiles: what they refuse, how two machines make a pair, and the ones that are shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import REPO

from qeil_ros.planning import co_inference as co
from qeil_ros.planning import device as profiles
from qeil_ros.planning.cost import Cut, Work
from qeil_ros.planning.device import Clock, Device, FileError, ModelTimes, Power, SplitTimes, machines
from qeil_ros.planning.link import Link

PRESETS = sorted((REPO / "config" / "devices").glob("*.yaml"))
PLANNED = [path for path in PRESETS if path.stem != "paper_a"]  # that one lists devices and nothing else
STATED = Power("stated", "modelled", 3.0)


def robot() -> Device:
    times = SplitTimes(
        "vision", 1e-4, {0: 2e-3, 8: 2e-3, 4: 1e-3}, {1: 1e-5, 8: 3e-5}, 1e-5, 5e-3, 1e-3, local_s=4e-3
    )
    return Device(
        "robot",
        (Clock("low", 2.0, 1.0, 6e8), Clock("high", 1.0, 3.0, 1.2e9)),
        seconds_per_flop=1e-10,
        power=STATED,
        models=(ModelTimes("model", "ab" * 32, (times,), tokens=4.5),),
        server=Device("server", power=STATED),
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    profiles.write(tmp_path / "robot.yaml", robot(), "by hand")
    assert profiles.read(tmp_path / "robot.yaml") == robot()
    assert (tmp_path / "robot.yaml").read_text().startswith("# by hand\n")


def test_a_model_is_found_by_its_digest() -> None:
    times = robot().times("ab" * 32)
    assert times is not None and times.tokens == 4.5 and times.split("other") is None
    split = times.split("vision")
    assert split is not None and split.robot_s(4) == pytest.approx(1e-4 + 1e-3 + 3e-5)
    assert robot().times("cd" * 32) is None


def test_a_pair_has_every_combination_of_their_clocks() -> None:
    fast = Device("server", (Clock("eco", 3.0, 50.0), Clock("full", 1.0, 200.0)), 1e-12, power=STATED)
    pair = machines(robot(), fast)
    assert pair.profiles == ("low/eco", "low/full", "high/eco", "high/full")
    np.testing.assert_allclose(pair.agent.seconds_per_flop, [2e-10, 2e-10, 1e-10, 1e-10])
    np.testing.assert_allclose(pair.server.seconds_per_flop, [3e-12, 1e-12] * 2)
    assert pair.agent.busy_w == (1.0, 1.0, 3.0, 3.0) and pair.server.busy_w == (50.0, 200.0) * 2
    assert [pair.clock_hz(name) for name in pair.profiles] == [6e8, 6e8, 1.2e9, 1.2e9]
    assert machines(robot(), Device("server")).profiles == ("low", "high")
    assert machines(Device("robot"), fast).profiles == ("eco", "full")
    assert machines(Device("robot"), Device("server")).profiles == ("as it is",)


def test_unknown_power_counts_as_none() -> None:
    assert replace(robot(), power=Power()).side().busy_w == (0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nclocks: []", "clocks \\[\\]; want 1 to 32"),
        ("name: x\nclocks: [{name: a}, {name: a}]", "of different names"),
        ("name: x\nclocks: [{name: a, slowdown: 0}]", "clocks\\[0\\]: clock 'a': slowdown is 0.0"),
        ("name: x\nclocks: [{name: a, busy_w: -1}]", "busy_w is -1.0"),
        ("name: x\nclocks: [{name: a, hz: .inf}]", "hz is inf"),
        ("name: x\nseconds_per_flop: -1", "seconds_per_flop is -1"),
        ("name: x\nradio: {tail_s: -1}", "radio: tail_s is -1"),
        ("name: x\npower: {quality: wild}", "power.quality: want one of none, measured, modelled"),
        ("name: x\nmodels: [{name: m, digest: d, splits: [], tokens: 0.5}]", "tokens is 0.5"),
        (
            "name: x\nmodels: [{name: m, digest: d, splits: [{name: s, agent_s: {4: 0}}]}]",
            "models\\[0\\].splits\\[0\\]: agent_s is {4: 0.0}",
        ),
        (
            "name: x\nmodels: [{name: m, digest: d, splits: [{name: s, agent_s: {fast: 1}}]}]",
            "agent_s: key: want an integer, got 'fast'",
        ),
        ("name: x\nserver: {name: y, speed: 3}", "server.speed: is not a known key"),
        ("name: [x]", "name: want a string, got \\['x'\\]"),
        ("clocks: []", "name: is missing"),
    ],
)
def test_wrong_profiles_are_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(f"format: 1\n{text}\n")
    with pytest.raises(FileError, match=said):
        profiles.read(path)


# --- the shipped ones


def test_the_generic_ones_and_the_papers_are_there() -> None:
    assert {path.stem for path in PRESETS} >= {"paper_b", "jetson_agx_orin", "raspberry_pi_5"}


@pytest.mark.parametrize("path", PLANNED, ids=lambda path: path.stem)
def test_a_preset_states_speed_and_power_and_where_they_come_from(path: Path) -> None:
    device = profiles.read(path)
    for machine in filter(None, (device, device.server)):
        assert machine.seconds_per_flop > 0
        assert machine.power.quality == "modelled" and machine.power.source
        assert all(clock.busy_w > 0 for clock in machine.clocks)
        speeds = [1 / clock.slowdown for clock in machine.clocks]
        assert speeds == sorted(speeds) and max(speeds) == 1
        if any(clock.hz for clock in machine.clocks):  # times go with the clock
            fastest = machine.clocks[-1]
            for clock in machine.clocks:
                assert clock.slowdown == pytest.approx(fastest.hz / clock.hz, rel=0.01)
    assert "ssumed" in path.read_text() and max(map(len, path.read_text().splitlines())) <= 110


def test_the_papers_preset_is_equations_4_to_9() -> None:
    device = profiles.read(REPO / "config" / "devices" / "paper_b.yaml")
    assert device.server is not None and device.widths is not None
    agent, server = co.PAPER
    pair = machines(device, device.server)
    # BLIP-2 to its first token, a tenth of it on the robot.
    p1 = co.Workload(53.366e9, 480.294e9, stored_bits=32, max_bits=16)
    widths = (2, 8, 16)
    cut = Cut("blip2", p1.agent_flop, p1.server_flop, (1.0,), np.zeros((3, 1)))
    made = Work.of([cut], widths, device.widths, pair.agent, pair.server).tables(Link(1e15), rate_hz=0.01)
    delay, energy = made.delay()[0], made.energy()[0]
    for p, name in enumerate(pair.profiles):
        thirds = [("low", "medium", "high").index(side) + 1 for side in name.split("/")]
        clocks = agent.max_hz * thirds[0] / 3, server.max_hz * thirds[1] / 3
        for w, bits in enumerate(widths):
            assert delay[0, w, p] == pytest.approx(co.delay_s(p1, agent, server, bits, *clocks), rel=1e-5)
            assert energy[0, w, p] == pytest.approx(co.energy_j(p1, agent, server, bits, *clocks), rel=1e-5)
