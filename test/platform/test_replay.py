from __future__ import annotations

import math

import numpy as np
import pytest

from qeil_ros.platform import (
    Quality,
    ReplaySensors,
    Trace,
    TraceError,
    TripPoints,
    load_layer_power,
    load_sbc_bench,
    load_trace,
    trip_points,
)

REPORT = """sbc-bench v0.9.9 Test Board Rev 1.2 (Mon, 05 Dec 2022 23:44:55 +0100)

Linux 6.1 (board) _aarch64_ (4 CPU)

Time        CPU    load %cpu %sys %usr %nice %io %irq   Temp
00:01:10: 1200MHz  4.18 100%   0%  99%   0%   0%   0%  83.8°C

System health while running tinymembench:

Time        CPU    load %cpu %sys %usr %nice %io %irq   Temp
23:59:00: 1200MHz  0.16  11%   0%   9%   0%   0%   0%  50.0°C
23:59:30: 1200MHz  1.08  25%   1%  24%   0%   0%   0%  52.0°C
00:00:10:  600MHz  1.04  50%   0%  50%   0%   0%   0%  56.0°C

System health while running cpuminer:

Time        CPU    load %cpu %sys %usr %nice %io %irq   Temp
00:00:10:  600MHz  1.04  11%   0%  50%   0%   0%   0%  56.0°C
00:00:40:  600MHz  1.16  11%   0%   9%   0%   0%   0%  60.0°C
00:01:10: 1200MHz  4.18 100%   0%  99%   0%   0%   0%  83.8°C  1.3188V

Thermal source: /sys/devices/virtual/thermal/thermal_zone0/
"""
LAYERS = """,cycle,layer_name,layer_type,average_power,layer_run_time
0,1,"first, with a comma",Conv,5000000.0,0.5
1,1,nothing,NoOp,0.0,0.0
2,1,second,Conv,7000000.0,0.25
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="recording.txt"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def ramp(**options):
    trace = Trace(
        np.array([0.0, 10.0, 20.0]),
        {"temperature/cpu": np.array([40.0, 60.0, math.nan]), "cpu/use": np.array([10.0, 90.0, 50.0])},
        {"temperature/cpu": "C", "cpu/use": "%"},
        "made up",
    )
    return ReplaySensors(trace, **options)


def values(sensor, now_s):
    return {reading.name: reading.value for reading in sensor.read(now_s)}


# --- playing


def test_recording_begins_with_the_first_reading_and_says_what_it_is():
    sensor = ramp()
    first, second = sensor.read(1000.0)
    assert (first.name, first.value, first.unit) == ("temperature/cpu", 40.0, "C")
    assert (first.quality, first.source, first.time_s) == (Quality.REPLAYED, "made up", 1000.0)
    assert second.value == 10.0
    assert tuple(sensor.names) == ("temperature/cpu", "cpu/use")


def test_temperature_runs_in_straight_lines_and_use_in_steps():
    sensor = ramp()
    sensor.read(0.0)
    assert values(sensor, 5.0) == {"temperature/cpu": 50.0, "cpu/use": 10.0}
    held = ramp(interpolate=False)
    held.read(0.0)
    assert values(held, 9.9) == {"temperature/cpu": 40.0, "cpu/use": 10.0}


def test_speed_is_recorded_seconds_a_second():
    sensor = ramp(speed=4.0)
    sensor.read(100.0)
    assert values(sensor, 102.5)["temperature/cpu"] == 60.0
    assert sensor.position_s(102.5) == 10.0


def test_value_that_was_not_recorded_has_none():
    sensor = ramp()
    sensor.read(0.0)
    temperature, use = sensor.read(20.0)
    assert not temperature.good and "in the recording" in temperature.reason
    assert use.value == 50.0


def test_recording_that_has_ended_gives_nothing_and_begins_again_when_told():
    sensor = ramp()
    sensor.read(0.0)
    assert not sensor.ended(20.0)
    assert sensor.ended(20.1)
    assert {reading.reason for reading in sensor.read(20.1)} == {"the recording has ended"}
    sensor.restart()
    assert values(sensor, 50.0)["temperature/cpu"] == 40.0


def test_looped_recording_never_ends():
    sensor = ramp(loop=True)
    sensor.read(0.0)
    assert values(sensor, 2005.0)["temperature/cpu"] == 50.0
    assert not sensor.ended(2005.0)


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, math.inf])
def test_speed_must_be_one(speed):
    with pytest.raises(ValueError, match="want above 0"):
        ramp(speed=speed)


def test_trip_points_of_the_recorded_machine_come_along():
    trips = {"temperature/cpu": TripPoints(passive_c=80.0)}
    assert trip_points([ramp(trips=trips), ramp()]) == trips


@pytest.mark.parametrize(
    ("times", "column", "reason"),
    [
        ([], [], "no rows"),
        ([0.0, 0.0], [1.0, 2.0], "must begin at 0 and rise"),
        ([1.0, 2.0], [1.0, 2.0], "must begin at 0 and rise"),
        ([0.0, math.nan], [1.0, 2.0], "must begin at 0 and rise"),
        ([0.0, 1.0], [1.0], "shape"),
    ],
)
def test_trace_that_makes_no_sense_is_refused(times, column, reason):
    with pytest.raises(TraceError, match=reason):
        Trace(np.array(times), {"cpu/use": np.array(column)}, {"cpu/use": "%"}, "x")
    with pytest.raises(TraceError, match="has no unit"):
        Trace(np.array([0.0]), {"cpu/use": np.array([1.0])}, {}, "x")


# --- sbc-bench


def test_tables_of_a_report_follow_each_other_past_midnight(write):
    trace = load_sbc_bench(write(REPORT))
    assert trace.source == "recording.txt: Test Board Rev 1.2"
    assert trace.time_s.tolist() == [0, 30, 70, 100, 130], "a row that two tables share counts once"
    assert trace.labels == ("tinymembench",) * 2 + ("cpuminer",) * 3
    assert trace.columns["temperature/cpu"].tolist() == [50, 52, 56, 60, 83.8]
    assert trace.columns["clock/cpu"].tolist() == [1.2e9, 1.2e9, 6e8, 6e8, 1.2e9]
    assert trace.columns["load/1min"][0] == 0.16
    assert np.isnan(trace.columns["voltage/core"]).tolist() == [True] * 4 + [False]


def test_use_is_that_of_the_time_after_a_row(write):
    """The report has it for the time before, and for each table's first row since the machine was started."""
    trace = load_sbc_bench(write(REPORT))
    assert trace.columns["cpu/use"].tolist() == [25, 50, 11, 100, 100]
    assert trace.columns["cpu/busy_cores"].tolist() == [1, 2, 0.44, 4, 4]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (REPORT.replace("25%   1%", "much"), "line 12: not a row"),
        (REPORT.replace("Time        CPU    load", "Time  three/of/a/kind  load"), "line 10: unknown kind"),
        (REPORT.replace("1200MHz  1.08", "1200/1400MHz  1.08"), "line 12: not a row"),
        ("sbc-bench v1 Board (x)\nnothing else", "no table"),
    ],
)
def test_broken_report_names_the_line(write, wrong, reason):
    with pytest.raises(TraceError, match=reason):
        load_sbc_bench(write(wrong))


@pytest.mark.parametrize(
    ("file", "rows", "clocks", "hottest_c", "cores"),
    [
        ("4ax9.txt", 68, ["clock/big", "clock/little"], 83.9, 12),
        ("4ebH.txt", 52, ["clock/cpu"], 43.5, 8),
        ("4hOp.txt", 61, ["clock/cpu", "clock/reported"], 84.9, 4),
        ("4rLX.txt", 53, ["clock/cpu"], 44.5, 4),
        ("4vgu.txt", 61, ["clock/cpu"], 51.3, 6),
        ("87lq.txt", 68, ["clock/big", "clock/little"], 50.9, 6),
    ],
)
def test_recorded_boards(data_dir, file, rows, clocks, hottest_c, cores):
    trace = load_trace(data_dir / "traces/sbc_bench" / file)
    assert len(trace.time_s) == rows
    assert [name for name in trace.columns if name.startswith("clock")] == clocks
    assert trace.columns["temperature/cpu"].max() == hottest_c
    use = trace.columns["cpu/use"]
    assert 0 <= use.min() <= 26 and use.max() <= 100
    assert trace.columns["cpu/busy_cores"] == pytest.approx(use / 100 * cores)


def test_raspberry_pi_throttles_in_its_recording(data_dir):
    trace = load_sbc_bench(data_dir / "traces/sbc_bench/4hOp.txt")
    hot = trace.columns["temperature/cpu"] > 83
    assert trace.columns["clock/cpu"][hot].min() == 657e6
    assert trace.columns["clock/reported"].min() == 1200e6, "which the kernel does not admit"


# --- layers


def test_layers_follow_each_other_without_a_gap(write):
    trace = load_layer_power(write(LAYERS))
    assert trace.time_s.tolist() == [0.0, 0.0005, 0.00075]
    assert trace.columns["power/layers"].tolist() == [5.0, 7.0, 7.0]
    assert trace.labels == ("first, with a comma", "second", "second")
    sensor = ReplaySensors(trace, speed=1e-3)
    sensor.read(0.0)
    assert values(sensor, 0.4) == {"power/layers": 5.0}
    assert values(sensor, 0.6) == {"power/layers": 7.0}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (LAYERS.replace("average_power", "watts"), "wants the columns"),
        (LAYERS.replace("7000000.0", "hot"), "line 4: not a number"),
        (LAYERS.replace("7000000.0,0.25", "7000000.0"), "line 4: not a number"),
        (LAYERS.replace("7000000.0", "-1"), "line 4: -1e-06 W"),
        (LAYERS.replace("7000000.0", "nan"), "line 4: nan W"),
        (LAYERS.replace("0.5\n", "0\n").replace("0.25", "0"), "no layer takes any time"),
        ("", "wants the columns"),
    ],
)
def test_broken_table_of_layers_names_the_line(write, wrong, reason):
    with pytest.raises(TraceError, match=reason):
        load_layer_power(write(wrong))


def test_recorded_layers(data_dir):
    folder = data_dir / "traces/jetson_layer_power"
    cycles = load_trace(folder / "mobilenetv2_layers_cycles.csv")
    means = load_trace(folder / "mobilenetv2_layers_summary.csv")
    assert cycles.duration_s == pytest.approx(5 * means.duration_s), "five cycles"
    for trace in (cycles, means):
        power_w = trace.columns["power/layers"]
        assert 5.5 < power_w.min() < power_w.max() < 6.1
        assert trace.labels[0].startswith("Reformatting CopyNode")


# --- any


def test_table_of_our_own(write):
    trace = load_trace(write("time_s,temperature/cpu,power/total\n3.5,40,\n4.0,41.5,6.25\n", "own.csv"))
    assert trace.time_s.tolist() == [0.0, 0.5]
    assert trace.units == {"temperature/cpu": "C", "power/total": "W"}
    assert math.isnan(trace.columns["power/total"][0])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("time_s,cpu/use\n1,2,3\n", "line 2: 3 columns"),
        ("time_s,cpu/use\n1,hot\n", "line 2: could not convert"),
        ("time_s,cpu/use\n", "no rows"),
        ("time_s,cpu/use\n1,2\n1,3\n", "must begin at 0 and rise"),
        ("something else", "neither an sbc-bench report"),
    ],
)
def test_file_that_is_no_recording_is_refused(write, wrong, reason):
    with pytest.raises(TraceError, match=reason):
        load_trace(write(wrong))


def test_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_trace(tmp_path / "none")
