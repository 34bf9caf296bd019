"""`qeil timeline`: a flight log as a picture and in figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from qeil_ros.msg import OperatingPoint, SupervisorStatus
from rcl_interfaces.msg import Log
from rclpy.serialization import serialize_message
from std_msgs.msg import String

from qeil_ros.cli import main
from qeil_ros.cli.errors import CliError
from qeil_ros.cli.timeline import summary
from qeil_ros.cli.timeline_read import read
from qeil_ros.nodes.mcap_file import Channel, McapFile
from qeil_ros.nodes.message_text import definition_text, interface_name

START_NS = 1_700_000_000_000_000_000
NOMINAL, LOCAL = SupervisorStatus.MODE_NOMINAL, SupervisorStatus.MODE_LOCAL


def channel(topic: str, kind: type) -> Channel:
    return Channel(topic, interface_name(kind), definition_text(kind))


def status(second: int) -> SupervisorStatus:
    """Ten seconds well, ten seconds alone, ten seconds well; hottest at second 15."""
    alone = 10 <= second < 20
    local = min(max(second - 10, 0), 10)
    return SupervisorStatus(
        mode=LOCAL if alone else NOMINAL,
        reasons=["link down: heartbeat lost"] if alone else [],
        link=SupervisorStatus.LINK_DOWN if alone else SupervisorStatus.LINK_UP,
        strategy="local_full" if alone else "co_inference",
        operating_point=OperatingPoint(rate_hz=5.0, feature_bits=4),
        reading_names=["temperature/cpu", "power/total"],
        reading_values=[70.0 - abs(second - 15), 6.0],
        reading_units=["C", "W"],
        reading_sources=["zone", "rail"],
        reading_qualities=[1, 1],
        forecast_temperature_c=70.0,
        forecast_error_c=0.5,
        energy_left_j=100.0 - second,
        delay_predicted_s=0.05,
        delay_measured_s=0.05 if alone else 0.055,
        energy_predicted_j=math.nan,
        answers_hz=5.0,
        answers_offboard=5 * (second - local),
        answers_local=5 * local,
    )


def write(path: Path, topics: tuple[str, ...] = ("/status",), seconds: range = range(31)) -> Path:
    file = McapFile(path)
    for second in seconds:
        for topic in topics:
            file.add(
                channel(topic, SupervisorStatus), serialize_message(status(second)), START_NS + second * 10**9
            )
        file.flush()
    file.add(
        channel("/rosout", Log),
        serialize_message(Log(msg="pin: local by ann")),
        START_NS + seconds[-1] * 10**9,
    )
    file.close()
    return path


@pytest.fixture
def log(tmp_path):
    return write(tmp_path / "supervisor_000001_20260101T000000.mcap")


def test_figures_of_a_flight(log):
    found = summary(read(log))
    assert found["duration_s"] == pytest.approx(30.0) and found["statuses"] == 31
    assert found["modes"] == pytest.approx({"nominal": 2 / 3, "local": 1 / 3})
    assert found["links"] == pytest.approx({"up": 2 / 3, "down": 1 / 3})
    assert found["strategies"] == pytest.approx({"co_inference": 2 / 3, "local_full": 1 / 3})
    assert [(change["time_s"], change["from"], change["to"]) for change in found["changes"]] == [
        (pytest.approx(10.0), "nominal", "local"),
        (pytest.approx(20.0), "local", "nominal"),
    ]
    assert found["changes"][0]["reasons"] == ["link down: heartbeat lost"]
    assert found["highest"] == {"temperature/cpu": 70.0}
    assert found["mean_power_w"] == pytest.approx(6.0) and found["energy_left_j"] == 70.0
    assert found["answers"] == {"offboard": 100, "local": 50, "none": 0}
    assert found["prediction_error"]["delay_s"] == pytest.approx(0.1, abs=1e-6)
    assert found["prediction_error"]["energy_j"] is None
    assert found["notes"] == [{"time_s": pytest.approx(30.0), "text": "pin: local by ann"}]


def test_command_draws_and_prints(log, tmp_path, capsys):
    plot, figures = tmp_path / "flight.png", tmp_path / "flight.json"
    assert main(["timeline", str(log), "--plot", str(plot), "--json", str(figures)]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG") and plot.stat().st_size > 20_000
    assert json.loads(figures.read_text())["answers"]["local"] == 50
    shown = capsys.readouterr().out
    assert "local 33.3%" in shown and "100 offboard, 50 local" in shown and str(plot) in shown
    assert main(["timeline", str(log.parent), "--plot", str(plot), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["statuses"] == 31


def test_folder_is_read_in_order_and_a_restarted_counter_counts_on(tmp_path):
    write(tmp_path / "supervisor_000001_20260105T000000.mcap", seconds=range(8))
    write(tmp_path / "supervisor_000002_20260101T000000.mcap", seconds=range(8, 16))
    found = summary(read(tmp_path))
    assert found["statuses"] == 16 and len(found["files"]) == 2
    assert found["answers"] == {"offboard": 50, "local": 25, "none": 0}


def test_one_status_is_enough_to_draw(tmp_path):
    path = write(tmp_path / "short.mcap", seconds=range(1))
    assert main(["timeline", str(path), "--plot", str(tmp_path / "short.svg")]) == 0
    assert "<svg" in (tmp_path / "short.svg").read_text()


def test_log_that_was_cut_off_is_read_as_far_as_it_goes_and_left_alone(log):
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) // 2])
    track = read(log)
    assert 2 < len(track.statuses) < 31
    assert log.read_bytes() == whole[: len(whole) // 2]


def test_several_supervisors_want_a_choice(tmp_path):
    path = write(tmp_path / "two.mcap", ("/robot1/status", "/robot2/status"), range(3))
    with pytest.raises(CliError, match=r"several supervisors.*/robot1/status, /robot2/status by --topic"):
        read(path)
    assert read(path, "/robot2/status").topic == "/robot2/status"
    with pytest.raises(CliError, match=r"no supervisor status on /other.*there are /robot1/status"):
        read(path, "/other")


def test_what_is_no_log_is_refused_with_the_reason(tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "text.mcap").write_text("hello")
    other = McapFile(tmp_path / "other.mcap")
    other.add(channel("/chatter", String), serialize_message(String(data="x")), START_NS)
    other.close()
    for path, said in (
        (tmp_path / "missing.mcap", "no recording"),
        (empty, "no recording in"),
        (tmp_path / "text.mcap", "cannot read the recording"),
        (tmp_path / "other.mcap", "no supervisor status"),
    ):
        assert main(["timeline", str(path), "--plot", str(tmp_path / "x.png")]) != 0
        assert said in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_picture_that_cannot_be_written_is_an_error(log, tmp_path, capsys):
    assert main(["timeline", str(log), "--plot", str(tmp_path / "none" / "x.png")]) != 0
    assert "cannot draw to" in capsys.readouterr().err
    assert main(["timeline", str(log), "--plot", str(tmp_path / "x.docx")]) != 0
    assert "cannot draw to" in capsys.readouterr().err
