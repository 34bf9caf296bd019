"""The demonstration's bookkeeping: from what was seen on the topics to the figures, with synthetic events."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from qeil_ros.cli import main
from qeil_ros.cli.demo.ledger import Answer, Ledger, normalise
from qeil_ros.cli.demo.options import DemoError, Options, check, launch_arguments, play_length
from qeil_ros.cli.demo.summary import ImageSizes, Percentiles, Summary, summarise
from qeil_ros.cli.demo.timeline import draw_timeline, outcome
from qeil_ros.cli.demo.view import Display, compared, milliseconds, progress_line, size, summary_tables

DEADLINE_S = 0.2
FIRST_NS = 1_000


def answer(seen_s: float, source: str = "offboard", text: str = "a red cube", **times_s: float) -> Answer:
    return Answer(seen_s, source, "because", text, {"total": 0.03, **times_s})


def played(
    frames: int, *, period_s: float = 0.1, latency_s: float = 0.03, source: str = "offboard"
) -> Ledger:
    """A ledger of frames that were all answered in time."""
    ledger = Ledger(FIRST_NS, lambda stamp: ("a red cube",))
    for index in range(frames):
        at_s, stamp_ns = index * 0.1, FIRST_NS + index
        ledger.image(stamp_ns, at_s)
        ledger.features(stamp_ns, at_s + 0.002, 1000, 4)
        ledger.answer(stamp_ns, answer(at_s + latency_s, source))
    return ledger


def summary_of(ledger: Ledger, now_s: float = 100.0) -> Summary:
    return summarise(ledger, deadline_s=DEADLINE_S, start_s=0.0, now_s=now_s, recording="bag", model="m")


def test_a_faultless_run() -> None:
    summary = summary_of(played(10))
    assert summary.faults == []
    assert (summary.frames_in, summary.answers, summary.correct, summary.with_truth) == (10, 10, 10, 10)
    assert summary.by_source == {"offboard": 10}
    assert summary.bytes_per_frame == 1000
    assert summary.feature_bits == {"4": 10}
    assert summary.seen_total_s.p99 == pytest.approx(0.03)
    assert summary.killed_at_s is summary.failover_s is summary.recovery_s is None
    assert (summary.source_changes, summary.source_changes_after_restart) == (0, None)


def test_images_that_are_held_to_a_rate_are_told_from_those_that_were_replaced() -> None:
    ledger = Ledger(FIRST_NS)
    ledger.encoder_paced(7)  # before the start
    for index in range(10):
        ledger.image(FIRST_NS + index, 0.1 * index)
        if index % 5 == 0:
            ledger.features(FIRST_NS + index, 0.1 * index, 1000, 4)
            ledger.answer(FIRST_NS + index, answer(0.1 * index + 0.03))
    ledger.encoder_paced(13)
    summary = summary_of(ledger)
    assert (summary.missing, summary.superseded, summary.paced) == (8, 8, 6)
    (fault,) = summary.faults
    assert fault.startswith("8 images without an answer (6 left out to keep to the rate")
    assert "2 replaced by newer ones" in fault


def test_a_few_images_that_the_encoder_left_out_fail_no_run() -> None:
    ledger = played(18)
    ledger.image(5_000, 2.0)
    summary = summary_of(ledger)
    assert (summary.missing, summary.superseded, summary.faults) == (1, 1, [])
    ledger.features(5_000, 2.01, 1000, 4)  # now it is a frame, and one without an answer
    assert len(summary_of(ledger).faults) == 1


def test_the_order_in_which_topics_are_seen_does_not_matter() -> None:
    ledger = Ledger(FIRST_NS)
    ledger.answer(FIRST_NS, answer(0.1))
    ledger.features(FIRST_NS, 0.1, 500, 8)
    ledger.image(FIRST_NS, 0.1)
    summary = summary_of(ledger)
    assert (summary.frames_in, summary.answers, summary.faults) == (1, 1, [])
    assert summary.with_truth == 0 and math.isnan(summary.correct_share)


def test_each_broken_promise_is_counted_and_named() -> None:
    ledger = played(4)
    ledger.answer(FIRST_NS, answer(0.05, "local"))  # a second answer to the first frame
    ledger.image(2_000, 1.0)
    ledger.features(2_000, 1.01, 1000, 4)
    ledger.answer(2_000, answer(1.0 + DEADLINE_S + 0.001))  # too late
    ledger.image(2_001, 2.0)
    ledger.features(2_001, 2.01, 1000, 4)  # encoded, never answered
    ledger.image(2_002, 3.0)  # not even encoded
    ledger.answer(2_003, answer(4.0))  # an answer out of nowhere
    ledger.image(2_004, 5.0)
    ledger.answer(2_004, answer(5.1, "none", text=""))
    summary = summary_of(ledger)
    assert (summary.duplicates, summary.late_published, summary.missing, summary.superseded) == (1, 1, 2, 1)
    assert summary.unknown == 1
    assert len(summary.faults) == 5
    assert summary.by_source == {"offboard": 6, "none": 1}


def test_equal_counts_do_not_hide_that_the_wrong_frames_were_answered() -> None:
    ledger = Ledger(FIRST_NS)
    ledger.image(FIRST_NS, 0.0)
    ledger.answer(FIRST_NS + 1, answer(0.1))
    summary = summary_of(ledger)
    assert summary.frames_in == summary.answers == 1
    missing, unknown = summary.faults
    assert missing.startswith("1 images without an answer")
    assert unknown == "1 answers to images that were not seen"


def test_a_frame_within_its_deadline_is_not_missing_yet() -> None:
    ledger = Ledger(FIRST_NS)
    ledger.image(FIRST_NS, 1.0)
    assert summary_of(ledger, now_s=1.1).missing == 0
    assert summary_of(ledger, now_s=1.3).missing == 1


def test_a_run_without_images_is_a_fault() -> None:
    assert summary_of(Ledger(FIRST_NS)).faults == ["no image was seen on the camera topic"]


def test_frames_from_before_the_start_do_not_count() -> None:
    ledger = played(3)
    for stamp_ns in (1, 2):
        ledger.image(stamp_ns, -1.0)
        ledger.answer(stamp_ns, answer(-0.5))
    ledger.image(3, -0.1)  # never answered
    summary = summary_of(ledger)
    assert (summary.frames_in, summary.answers, summary.faults) == (3, 3, [])
    assert len(ledger.warm_up) == 3


def test_kill_and_restart() -> None:
    ledger = Ledger(FIRST_NS)
    for index in range(100):
        at_s = index * 0.1
        source = "local" if 3.0 <= at_s < 6.5 else "offboard"
        ledger.image(FIRST_NS + index, at_s)
        ledger.answer(FIRST_NS + index, answer(at_s + 0.05, source))
    ledger.mark("kill", 2.96)
    ledger.mark("restart", 5.0)
    summary = summary_of(ledger)
    assert (summary.killed_at_s, summary.restarted_at_s) == (2.96, 5.0)
    assert summary.failover_s == pytest.approx(3.05 - 2.96)
    assert summary.recovery_s == pytest.approx(6.55 - 5.0)
    assert summary.offboard_after_restart == 35
    assert summary.by_source == {"offboard": 65, "local": 35}
    assert (summary.source_changes, summary.source_changes_after_restart) == (2, 1)
    assert summary.faults == []


def test_sources_that_alternate_are_counted() -> None:
    ledger = Ledger(FIRST_NS)
    for index, source in enumerate(("offboard", "local", "local", "offboard", "local", "none")):
        ledger.image(FIRST_NS + index, index * 0.1)
        ledger.answer(FIRST_NS + index, answer(index * 0.1 + 0.05, source))
    ledger.mark("kill", 0.1)
    ledger.mark("restart", 0.3)
    summary = summary_of(ledger)
    assert (summary.source_changes, summary.source_changes_after_restart) == (4, 2)


def test_a_server_that_does_not_come_back_is_a_fault() -> None:
    ledger = played(10, source="local")
    ledger.mark("kill", 0.1)
    ledger.mark("restart", 0.2)
    summary = summary_of(ledger)
    assert summary.recovery_s is None
    assert summary.faults == ["no answer from offboard after the restart"]


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(v) for v in range(1, 101)]
    assert Percentiles.of(reversed(values)) == Percentiles(50.0, 95.0, 99.0, 100)
    assert Percentiles.of([3.0, math.nan]) == Percentiles(3.0, 3.0, 3.0, 1)
    empty = Percentiles.of([])
    assert empty.count == 0 and math.isnan(empty.p99)


def test_only_the_answer_published_first_is_judged() -> None:
    ledger = Ledger(FIRST_NS, lambda stamp: ("a red cube", "one red cube"))
    for index, text in enumerate(("A red  cube.", "one red cube", "a blue cube")):
        ledger.image(FIRST_NS + index, 0.0)
        ledger.answer(FIRST_NS + index, answer(0.1, text=text))
    ledger.answer(FIRST_NS + 2, answer(0.11, text="a red cube"))
    summary = summary_of(ledger)
    assert (summary.correct, summary.with_truth) == (2, 3)
    assert summary.correct_share == pytest.approx(2 / 3)
    assert normalise("  A Red cube. ") == "a red cube"


def test_the_summary_is_json_without_nan() -> None:
    text = json.dumps(summary_of(Ledger(FIRST_NS)).to_json(), allow_nan=False)
    record = json.loads(text)
    assert record["ok"] is False
    assert record["bytes_per_frame"] is None and record["image_sizes"]["jpeg"] is None
    assert record["times_s"]["total"] == {"p50": None, "p95": None, "p99": None, "count": 0}
    assert json.loads(json.dumps(summary_of(played(3)).to_json()))["correct_share"] == 1.0


def test_the_timeline_shows_every_outcome(tmp_path: Path) -> None:
    ledger = played(5)
    ledger.image(3_000, 1.0)
    ledger.image(3_001, 1.1)
    ledger.answer(3_001, answer(1.2, "local"))
    ledger.mark("kill", 0.5)
    assert [outcome(f) for f in ledger.in_order()] == ["offboard"] * 5 + ["no answer", "local"]
    path = tmp_path / "timeline.png"
    draw_timeline(ledger, path, start_s=0.0, deadline_s=DEADLINE_S, title="t")
    assert path.read_bytes().startswith(b"\x89PNG")
    draw_timeline(Ledger(FIRST_NS), path, start_s=0.0, deadline_s=DEADLINE_S, title="nothing seen")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_tables_say_what_happened() -> None:
    ledger = played(10)
    ledger.mark("kill", 0.35)
    summary = summarise(
        ledger,
        deadline_s=DEADLINE_S,
        start_s=0.0,
        now_s=100.0,
        image_sizes=ImageSizes(raw=20_000, jpeg=4_000, jpeg_small=500),
    )
    shown = rendered(summary_tables(summary))
    for text in (
        "10   offboard 10",
        "10/10 (100.0%)",
        "20.0 kB   20.0 times the features",
        "500 B   the features are 2.0 times as large",
        "first local answer never",
        "every image got exactly one answer within 200 ms",
    ):
        assert text in shown
    assert "FAILED: no image was seen" in rendered(summary_tables(summary_of(Ledger(FIRST_NS))))


def rendered(renderable: object) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_without_a_terminal_progress_is_a_line_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    now_s = 0.0
    ledger = played(3)
    ledger.status(0.0, mode=0, link=1)
    with Display(Console(width=300), live=False, clock=lambda: now_s) as display:
        for tenth in range(20):
            now_s = tenth / 10
            if display.due:
                display.update(ledger, summary_of(ledger))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "in 3  answers 3 (offboard 3)  correct 3/3 (100.0%)" in lines[0]
    assert "link up, mode nominal  a red cube [offboard: because]" in lines[0]
    assert "nothing heard" in progress_line(Ledger(FIRST_NS), summary_of(Ledger(FIRST_NS)))


def test_figures_read_well() -> None:
    assert milliseconds(0.0123) == "12.3" and milliseconds(math.nan) == "-"
    assert size(950) == "950 B" and size(57_600) == "57.6 kB" and size(math.nan) == "-"
    assert compared(math.nan, 3.0) == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(bag=Path("a"), images=Path("b")), "--bag and --images"),
        (Options(seconds=0.0), "--seconds 0.0 is not above zero"),
        (Options(rate_hz=-1.0), "--rate -1.0 is not above zero"),
        (Options(kill_offboard_at=-1.0), "--kill-offboard-at -1.0 is below zero"),
        (Options(seconds=5.0, kill_offboard_at=5.0), "comes after the end"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: Options, message: str) -> None:
    with pytest.raises(DemoError, match=message):
        check(options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bag", "/no/where"], "no bag at /no/where"),
        (["--model", "nothing"], "no model 'nothing'"),
        (["--bag", "a", "--images", "b"], "give one of them"),
        (["robot_config"], "write NAME:=VALUE"),
    ],
)
def test_what_cannot_be_carried_out_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["demo", "--out", str(tmp_path), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("qeil: ") and message in line


class Recording:
    """A source of which only the metadata is asked for."""

    topic = "/cam/image/compressed"
    type_name = "sensor_msgs/msg/CompressedImage"
    duration_s = 8.0


def test_a_kill_leaves_time_for_the_restart() -> None:
    assert play_length(Options(), Recording()) == 8.0  # type: ignore[arg-type]
    assert play_length(Options(seconds=3.0), Recording()) == 3.0  # type: ignore[arg-type]
    assert play_length(Options(kill_offboard_at=5.0), Recording()) == 17.0  # type: ignore[arg-type]


def test_the_launch_file_is_told_topic_and_transport_and_the_user_wins() -> None:
    given = launch_arguments(Options(launch={"log_level": "debug", "respawn_offboard": "true"}), Recording())  # type: ignore[arg-type]
    assert given["image_topic"] == "/cam/image"
    assert given["image_transport"] == "compressed"
    assert given["log_level"] == "debug" and given["respawn_offboard"] == "true"
