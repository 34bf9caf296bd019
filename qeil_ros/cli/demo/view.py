"""The numbers as people read them: a live table on a terminal, plain lines elsewhere, a table at the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from qeil_ros.cli.demo.ledger import Ledger
from qeil_ros.cli.demo.summary import Percentiles, Summary, missing_text

SHOWN_TIMES = ("encode", "transfer", "inference", "total")
STYLES = {"offboard": "green", "local": "yellow", "none": "red"}


def milliseconds(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{seconds * 1e3:.1f}"


def size(n_bytes: float) -> str:
    if math.isnan(n_bytes):
        return "-"
    return f"{n_bytes:,.0f} B" if n_bytes < 10_000 else f"{n_bytes / 1000:,.1f} kB"


def compared(features: float, other: float) -> str:
    """How the features compare with another form of the image."""
    if math.isnan(features) or math.isnan(other) or not features or not other:
        return ""
    if other >= features:
        return f"{other / features:.1f} times the features"
    return f"the features are {features / other:.1f} times as large"


def sources_text(by_source: dict[str, int]) -> str:
    return "  ".join(f"{name} {by_source[name]}" for name in STYLES if name in by_source) or "-"


def share_text(summary: Summary) -> str:
    if not summary.with_truth:
        return "truth unknown"
    return f"{summary.correct}/{summary.with_truth} ({summary.correct_share:.1%})"


def link_text(ledger: Ledger) -> str:
    if ledger.supervisor is None:
        return "nothing heard"
    return f"link {ledger.supervisor.link}, mode {ledger.supervisor.mode}"


def caption_text(ledger: Ledger) -> str:
    answer = ledger.last_answer
    return f"{answer.text or '(no text)'} [{answer.source}: {answer.reason}]" if answer else "-"


def latency_table(rows: dict[str, Percentiles]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("ms", style="dim")
    for heading in ("p50", "p95", "p99", "frames"):
        table.add_column(heading, justify="right")
    for name, p in rows.items():
        table.add_row(name, milliseconds(p.p50), milliseconds(p.p95), milliseconds(p.p99), str(p.count))
    return table


def _latencies(summary: Summary) -> dict[str, Percentiles]:
    rows = {name: summary.times_s[name] for name in SHOWN_TIMES}
    return {**rows, "seen from outside": summary.seen_total_s}


def live_panel(ledger: Ledger, summary: Summary) -> Group:
    """What the terminal shows while the recording plays."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("time", f"{summary.seconds:.1f} s")
    facts.add_row("frames in", str(summary.frames_in))
    facts.add_row("answers", f"{summary.answers}   {sources_text(summary.by_source)}")
    facts.add_row("correct", share_text(summary))
    facts.add_row("bytes a frame", size(summary.bytes_per_frame))
    facts.add_row("supervisor", link_text(ledger))
    facts.add_row("last answer", Text(caption_text(ledger), overflow="ellipsis", no_wrap=True))
    return Group(facts, Text(), latency_table(_latencies(summary)))


def progress_line(ledger: Ledger, summary: Summary) -> str:
    """The same in one line, for logs."""
    return (
        f"{summary.seconds:6.1f} s  in {summary.frames_in}  answers {summary.answers} "
        f"({sources_text(summary.by_source)})  correct {share_text(summary)}  "
        f"{size(summary.bytes_per_frame)}/frame  total p50 {milliseconds(summary.times_s['total'].p50)} "
        f"p99 {milliseconds(summary.times_s['total'].p99)} ms  {link_text(ledger)}  {caption_text(ledger)}"
    )


def summary_tables(summary: Summary) -> Group:
    """The end of the run."""
    table = Table(title="Summary", title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("recording", summary.recording)
    table.add_row("model", summary.model)
    table.add_row("images in", str(summary.frames_in))
    table.add_row("answers", f"{summary.answers}   {sources_text(summary.by_source)}")
    table.add_row(
        "of these",
        f"{summary.duplicates} twice, {summary.late_published} late, {summary.missing} missing "
        f"({summary.superseded} superseded{f', of these {summary.paced} paced' if summary.paced else ''})",
    )
    table.add_row("correct", share_text(summary))
    bits = ", ".join(f"{b} bits: {n} frames" for b, n in summary.feature_bits.items()) or "-"
    table.add_row("features a frame", f"{size(summary.bytes_per_frame)}   ({bits})")
    for label, other in (
        ("raw image", summary.image_sizes.raw),
        ("JPEG of the image", summary.image_sizes.jpeg),
        ("JPEG at the model's size", summary.image_sizes.jpeg_small),
    ):
        table.add_row(f"  {label}", f"{size(other)}   {compared(summary.bytes_per_frame, other)}")
    if summary.killed_at_s is not None:
        text = _mark_text(summary.killed_at_s, summary.failover_s, "first local answer")
        table.add_row("offboard killed", text)
    if summary.restarted_at_s is not None:
        text = _mark_text(summary.restarted_at_s, summary.recovery_s, "first offboard answer")
        table.add_row("offboard restarted", text)
    if summary.faults:
        verdict = Text("FAILED: " + "; ".join(summary.faults), style="bold red")
    else:
        what = "frame" if summary.missing else "image"
        text = f"every {what} got exactly one answer within {summary.deadline_s * 1e3:.0f} ms"
        verdict = Text(
            "; ".join([text, missing_text(summary)] if summary.missing else [text]), style="bold green"
        )
    return Group(Text(), table, Text(), latency_table(_latencies(summary)), Text(), verdict)


def _mark_text(at_s: float, delay_s: float | None, what: str) -> str:
    return f"at {at_s:.1f} s, {what} " + ("never" if delay_s is None else f"after {delay_s * 1e3:.0f} ms")


class Display:
    """Shows the state of the run at most every `period_s`; on a terminal in place, elsewhere line by line."""

    def __init__(self, console: Console, *, live: bool, clock: Callable[[], float]) -> None:
        self.console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if live else None
        self._period_s = 0.25 if live else 1.0
        self._clock = clock
        self._next_s = -math.inf

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def due(self) -> bool:
        return self._clock() >= self._next_s

    def say(self, note: str) -> None:
        """A line that stays: something happened that the reader should know."""
        self.console.print(note, style="bold", markup=False, highlight=False)

    def update(self, ledger: Ledger, summary: Summary) -> None:
        self._next_s = self._clock() + self._period_s
        if self._live is not None:
            self._live.update(live_panel(ledger, summary), refresh=True)
        else:
            self.console.print(progress_line(ledger, summary), markup=False, highlight=False, soft_wrap=True)
