"""One run from start to end: bring the graph up, play, kill and restart as asked, watch, sum up."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from qeil_ros.cli.demo.graph import NODES, PLAYER, DemoGraph
from qeil_ros.cli.demo.ledger import Ledger
from qeil_ros.cli.demo.observer import Observer
from qeil_ros.cli.demo.options import (
    RESTART_AFTER_S,
    DemoError,
    Options,
    check,
    launch_arguments,
    play_length,
)
from qeil_ros.cli.demo.player import NODE_NAME as PLAYER_NODE
from qeil_ros.cli.demo.player import arguments as player_arguments
from qeil_ros.cli.demo.player import make_source
from qeil_ros.cli.demo.sizes import image_sizes
from qeil_ros.cli.demo.sources import Source, SourceError, source_stamp
from qeil_ros.cli.demo.summary import Summary, summarise
from qeil_ros.cli.demo.timeline import draw_timeline
from qeil_ros.cli.demo.view import Display, summary_tables
from qeil_ros.models.folder import ModelError, ModelFolder

READY_TIMEOUT_S = 90.0
# The supervisor trusts a link only after it has seen it well for a while.
SETTLE_TIMEOUT_S = 15.0
_TICK_S = 0.02


@dataclass(frozen=True)
class Outcome:
    """A finished run; `interrupted` when it was stopped early."""

    summary: Summary
    ledger: Ledger
    interrupted: bool


def run(options: Options, console: Console) -> Outcome:
    """Runs the demonstration and writes `summary.json`, `timeline.png` and `nodes.log` into `options.out`.

    Raises:
        DemoError, SourceError: it could not be carried out.
    """
    check(options)
    try:
        model = ModelFolder.load(options.model)
    except ModelError as error:
        raise DemoError(str(error)) from error
    if options.bag is None and options.images is None:
        options = replace(options, bag=_own_recording(model))
    source = make_source(options.bag, options.images, options.topic, options.rate_hz)
    seconds = play_length(options, source)
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "nodes.log"
    log.unlink(missing_ok=True)
    what = f"playing {seconds:.0f} s of {source.topic} from {source.name}"
    console.print(what, markup=False, highlight=False, soft_wrap=True)
    player = player_arguments(options.bag, options.images, options.topic, options.rate_hz, seconds)
    # Everything below is measured in this process; no thread of it may make another wait long.
    sys.setswitchinterval(0.001)
    with DemoGraph(launch_arguments(options, source), player, log) as graph:
        ledger = Ledger(
            source.first_stamp_ns, lambda stamp: source.truth.get(source_stamp(source, stamp), ())
        )
        with Observer(source, ledger) as observer:
            session = _Session(options, source, graph, observer, console)
            interrupted = session.play()
    sizes = image_sizes(source, (model.input.width, model.input.height))
    summary = session.summary(image_sizes=sizes, frames_played=graph.frames_played)
    _write(options, summary, session, console)
    return Outcome(summary, ledger, interrupted)


def _own_recording(model: ModelFolder) -> Path:
    folder = model.path / "recording"
    if not folder.is_dir():
        raise DemoError(f"model {model.name} brings no recording; give --bag or --images")
    return folder


class _Session:
    """The part of a run that the graph is up for."""

    def __init__(
        self, options: Options, source: Source, graph: DemoGraph, observer: Observer, console: Console
    ) -> None:
        self.options = options
        self.source = source
        self.graph = graph
        self.observer = observer
        self.console = console
        self.deadline_s = 0.0
        self.start_s = time.monotonic()
        self.end_s: float | None = None

    def summary(self, **extra: object) -> Summary:
        with self.observer.lock:
            return summarise(
                self.observer.ledger,
                deadline_s=self.deadline_s,
                start_s=self.start_s,
                now_s=time.monotonic() if self.end_s is None else self.end_s,
                recording=self.source.name,
                model=self.options.model,
                **extra,  # type: ignore[arg-type]
            )

    def play(self) -> bool:
        """Waits for the graph and plays; True where the user stopped it."""
        self._wait_until_ready()
        live = self.console.is_terminal and not self.options.plain
        with Display(self.console, live=live, clock=time.monotonic) as display:
            try:
                self.start_s = time.monotonic()
                if not self.observer.trigger(f"/{PLAYER_NODE}/play"):
                    raise self._failure(PLAYER, "does not start to play")
                self._watch(display)
                return False
            except KeyboardInterrupt:
                display.say(f"{time.monotonic() - self.start_s:.1f} s: stopped early")
                return True
            finally:
                self.end_s = time.monotonic()

    # ---- before --------------------------------------------------------------------------------------------

    def _wait_until_ready(self) -> None:
        """All four nodes active, and an image has come through all of them."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        with self.console.status("waiting for the nodes"):
            for name in NODES:
                active = functools.partial(self._is_active, name)
                self._wait(deadline_s, active, name, "did not become active")
            self._wait(deadline_s, self._answered, "fallback", "is active but answers no image")
            self._wait(deadline_s, self._supervisor_heard, "supervisor", "is active but publishes no status")
            self.deadline_s = self.observer.parameter("encoder", "deadline_s")
            settled_s = time.monotonic() + SETTLE_TIMEOUT_S
            while not self._settled() and time.monotonic() < settled_s:
                time.sleep(0.05)
        if not self._settled():
            # A configuration may want it so, and answers there are.
            self.console.print("note: no answers from offboard before the start; nodes.log says why")

    def _wait(self, deadline_s: float, condition: Callable[[], bool], name: str, complaint: str) -> None:
        while not condition():
            broken = self.graph.broken()
            if broken is not None:
                raise self._failure(broken, "has died")
            if time.monotonic() > deadline_s:
                raise self._failure(name, f"{complaint} within {READY_TIMEOUT_S:.0f} s")
            time.sleep(0.05)

    def _is_active(self, name: str) -> bool:
        return self.observer.state(name) == "active"

    def _answered(self) -> bool:
        with self.observer.lock:
            return any(f.answers for f in self.observer.ledger.warm_up.values())

    def _settled(self) -> bool:
        """The newest image that was answered was answered from offboard, and the supervisor is content."""
        with self.observer.lock:
            ledger = self.observer.ledger
            answered = [f for _, f in sorted(ledger.warm_up.items()) if f.answers]
            offboard = bool(answered) and answered[-1].answers[0].source == "offboard"
            return offboard and ledger.supervisor is not None and ledger.supervisor.mode != "local"

    def _supervisor_heard(self) -> bool:
        with self.observer.lock:
            return self.observer.ledger.supervisor is not None

    def _failure(self, name: str, complaint: str) -> DemoError:
        log = self.options.out / "nodes.log"
        message = f"{name} {complaint}; its last lines are above, all output is in {log}"
        return DemoError(message, self.graph.last_words(name))

    # ---- meanwhile -----------------------------------------------------------------------------------------

    def _watch(self, display: Display) -> None:
        todo = self._faults(display)
        while self.graph.playing:
            while todo and time.monotonic() >= self.start_s + todo[0][0]:
                todo.pop(0)[1]()
            if display.due:
                display.update(self.observer.ledger, self.summary())
            time.sleep(_TICK_S)
        if self.graph.launcher.processes[PLAYER].returncode != 0:
            raise self._failure(PLAYER, "has died")
        self._drain()

    def _faults(self, display: Display) -> list[tuple[float, Callable[[], None]]]:
        """What is to be done to the graph: seconds after the start, and how."""
        kill_at = self.options.kill_offboard_at
        if kill_at is None:
            return []

        def kill() -> None:
            self._mark("kill")
            self.graph.kill_offboard()
            display.say(f"{time.monotonic() - self.start_s:.1f} s: killed the offboard node (SIGKILL)")

        def restart() -> None:
            self._mark("restart")
            self.graph.restart_offboard()
            display.say(f"{time.monotonic() - self.start_s:.1f} s: restarted the offboard node")

        return [(kill_at, kill), (kill_at + RESTART_AFTER_S, restart)]

    def _mark(self, name: str) -> None:
        with self.observer.lock:
            self.observer.ledger.mark(name, time.monotonic())

    def _drain(self) -> None:
        """Waits for the answers to the last frames, and long enough to see one that comes late or twice, and
        what the encoder counts, which it says once a second.
        """
        time.sleep(max(self.deadline_s + 0.5, 1.2))


def _write(options: Options, summary: Summary, session: _Session, console: Console) -> None:
    console.print(summary_tables(summary))
    timeline = options.out / "timeline.png"
    draw_timeline(
        session.observer.ledger,
        timeline,
        start_s=session.start_s,
        deadline_s=session.deadline_s,
        title=f"{Path(options.model).name} on {'/'.join(Path(session.source.name).parts[-2:])}",
    )
    text = json.dumps(summary.to_json(), indent=2) + "\n"
    files = [options.out / "summary.json", *([options.json_file] if options.json_file else [])]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    names = ", ".join(str(file) for file in (*files, timeline, options.out / "nodes.log"))
    console.print(f"written: {names}", markup=False, highlight=False, soft_wrap=True)


__all__ = ["DemoError", "Options", "Outcome", "SourceError", "run"]
