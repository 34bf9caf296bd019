"""The command line of `qeil bag`."""

from __future__ import annotations

import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
import typer.core

from .. import ros
from ..errors import CliError

DEFAULT_CLOCK_HZ = 40.0


class _Ros2Style(typer.core.TyperCommand):
    """Options as `ros2 bag` takes them: several words after one option, and `--clock` with or without a
    rate."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        return super().parse_args(ctx, _spread(_with_clock_rate(args), ("--topics", "--remap", "-m")))


def _with_clock_rate(words: list[str]) -> list[str]:
    rewritten = []
    for at, word in enumerate(words):
        rewritten.append(word)
        if word == "--clock" and not (at + 1 < len(words) and _is_number(words[at + 1])):
            rewritten.append(str(DEFAULT_CLOCK_HZ))
    return rewritten


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _spread(words: list[str], options: tuple[str, ...]) -> list[str]:
    """`--topics a b` as `--topics a --topics b`, up to the next option."""
    spread: list[str] = []
    current = None
    for word in words:
        if word.startswith("-"):
            current = word if word in options else None
            if current is None:
                spread.append(word)
        elif current is not None:
            spread += [current, word]
        else:
            spread.append(word)
    return spread


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Play, record and inspect recordings (mcap and sqlite3).")
    group.command("info")(info)
    group.command("play", cls=_Ros2Style)(play)
    group.command("record", cls=_Ros2Style)(record)
    app.add_typer(group, name="bag")


Bag = typer.Argument(..., metavar="BAG", help="A recording's folder, or an .mcap or .db3 file.")
Topics = typer.Option(None, "--topics", help="Topics; several may follow.")
Remap = typer.Option(None, "--remap", "-m", help="OLD:=NEW topic names; several may follow.")
RecordTopics = typer.Argument(None, metavar="[TOPIC]...", help="Topics to record.")
Output = typer.Option(None, "--output", "-o", help="Folder to make; default: rosbag2_<date>-<time>.")


def info(bag: Path = Bag, json: bool = ros.Json) -> None:
    """Print what is in a recording.

    Example: qeil bag info recordings/drive1
    """
    from .info import as_text, summary

    facts = summary(bag)
    if json:
        ros.print_json(facts)
    else:
        print(as_text(facts))


def play(
    bag: Path = Bag,
    rate: float = typer.Option(1.0, "--rate", "-r", help="Times the recorded speed."),
    loop: bool = typer.Option(False, "--loop", "-l", help="Start over at the end."),
    clock: float = typer.Option(
        0.0, "--clock", min=0.0, metavar="[HZ]", help="Publish /clock; HZ is 40 unless given."
    ),
    start_offset: float = typer.Option(0.0, "--start-offset", min=0.0, help="Seconds to leave out first."),
    duration: float = typer.Option(
        None, "--duration", "--playback-duration", min=0.0, help="Seconds of the recording to play."
    ),
    delay: float = typer.Option(0.0, "--delay", "-d", min=0.0, help="Seconds to wait before it starts."),
    wait: float = typer.Option(
        None, "--wait", min=0.0, help="Wait until every topic has a subscription, this many seconds at most."
    ),
    topics: list[str] = Topics,
    remap: list[str] = Remap,
    json: bool = typer.Option(False, "--json", help="Print counts and lateness as JSON at the end."),
) -> None:
    """Publish a recording, each message at its recorded distance from the first.

    Example: qeil bag play recordings/drive1 --rate 0.5 --clock 100 --topics /camera/image_raw/compressed
    """
    from .player import Playback, Player
    from .storage import open_bag

    if not rate > 0:
        raise CliError(f"--rate {rate:g} is not above 0")
    reader = open_bag(bag)
    names = tuple(ros.absolute(name) for name in topics or [])
    options = Playback(rate, loop, clock, start_offset, duration, names, _remaps(remap or []))
    absent = set(names) - {connection.topic for connection in reader.connections}
    if absent:
        raise CliError(f"the recording has no topic {min(absent)!r}")
    stop = _stop_on_signals()
    with ros.graph_node(settled=False) as node:
        player = Player(node, reader, options)
        for topic, reason in player.skipped.items():
            _say(f"topic {topic!r} is left out: {reason}", level="WARNING")
        if not player.connections:
            raise CliError("nothing in the recording can be played", exit_code=1)
        if wait is not None and not ros.wait_for(lambda: player.matched() or stop.is_set(), wait):
            _say(f"some topics have no subscription after {wait:g} s", level="WARNING")
        stop.wait(delay)
        _say(f"playing {len(player.connections)} topic(s) of {str(bag)!r} at rate {rate:g}")
        played = player.play(stop)
        time.sleep(0.1)  # lets the last messages out before the publishers go
    reader.close()
    late = sorted(played.late_s) or [0.0]
    late_p99_s = late[min(len(late) - 1, int(len(late) * 0.99))]
    figures = {
        "messages": sum(played.counts.values()),
        "topics": dict(played.counts),
        "loops": played.loops,
        "late_p50_s": late[len(late) // 2],
        "late_p99_s": late_p99_s,
    }
    if json:
        ros.print_json(figures)
    else:
        _say(f"played {figures['messages']} messages, p99 {late_p99_s * 1e3:.1f} ms late")


def record(
    topics: list[str] = RecordTopics,
    everything: bool = typer.Option(False, "--all", "-a", help="Record all topics."),
    more_topics: list[str] = Topics,
    regex: str = typer.Option(None, "--regex", "-e", help="Record topics that match."),
    exclude: str = typer.Option(None, "--exclude-regex", "-x", help="Leave out topics that match."),
    output: Path = Output,
    storage: str = typer.Option("mcap", "--storage", "-s", help="mcap or sqlite3."),
    compress: bool = typer.Option(False, "--compress", help="Compress with zstd."),
    include_hidden: bool = typer.Option(False, "--include-hidden-topics", help="Hidden topics too."),
    max_duration: float = typer.Option(None, "--max-duration", min=0.0, help="Stop after so many seconds."),
    max_messages: int = typer.Option(None, "--max-messages", min=1, help="Stop after so many messages."),
    json: bool = typer.Option(False, "--json", help="Print counts as JSON at the end."),
) -> None:
    """Record topics until Ctrl-C. Topics that appear later are recorded from then on.

    Example: qeil bag record -o drive1 --topics /features /result
    """
    import rclpy

    from .recorder import Recorder, Selection
    from .storage import STORAGES

    if storage not in STORAGES:
        raise CliError(f"--storage {storage!r} is not one of {', '.join(STORAGES)}")
    names = tuple(ros.absolute(name) for name in [*(topics or []), *(more_topics or [])])
    if not names and not everything and regex is None:
        raise CliError("nothing to record: name topics, or give --all or --regex")
    path = output or Path(datetime.now().strftime("rosbag2_%Y_%m_%d-%H_%M_%S"))
    if path.exists():
        raise CliError(f"{str(path)!r} exists already; recordings are never overwritten")
    stop = _stop_on_signals()
    with ros.graph_node(settled=False) as node:
        selection = Selection(names, everything, regex, exclude, include_hidden)
        recorder = Recorder(node, path, selection, storage, compress)
        try:
            start_s = time.monotonic()
            look_s = start_s
            _say(f"recording to {str(path)!r}")
            while not stop.is_set() and (max_duration is None or time.monotonic() - start_s < max_duration):
                if time.monotonic() >= look_s:
                    for topic in recorder.discover():
                        _say(f"subscribed to topic {topic!r}")
                    look_s = time.monotonic() + 0.1
                rclpy.spin_once(node, timeout_sec=0.05)
                if max_messages is not None and sum(recorder.counts.values()) >= max_messages:
                    break
            else:
                _take_what_has_arrived(node, recorder)
        finally:
            recorder.close()
    for topic, reason in recorder.unknown.items():
        _say(f"topic {topic!r} was not recorded: {reason}", level="WARNING")
    if json:
        ros.print_json(
            {"path": str(path), "messages": sum(recorder.counts.values()), "topics": recorder.counts}
        )
    else:
        _say(f"recorded {sum(recorder.counts.values())} messages on {len(recorder.topics)} topic(s)")


def _take_what_has_arrived(node: Any, recorder: Any) -> None:
    """What came in before the end waits in queues: takes it while there is some, at most a second."""
    import rclpy

    deadline_s = time.monotonic() + 1.0
    before = None
    while before != recorder.counts and time.monotonic() < deadline_s:
        before = recorder.counts.copy()
        for _ in range(100):
            rclpy.spin_once(node, timeout_sec=0.0)


def _remaps(rules: list[str]) -> dict[str, str]:
    pairs = {}
    for rule in rules:
        old, separator, new = rule.partition(":=")
        if not separator:
            raise CliError(f"--remap {rule!r} is not of the form OLD:=NEW")
        pairs[ros.absolute(old)] = ros.absolute(new)
    return pairs


def _stop_on_signals() -> threading.Event:
    """Set by SIGINT and SIGTERM, so that a recording is always finished properly."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _say(text: str, level: str = "INFO") -> None:
    print(f"[{level}] [qeil_bag]: {text}", file=sys.stderr, flush=True)
