"""`qeil topic echo|hz|bw`: subscribe and say what comes."""

from __future__ import annotations

import csv
import io
import json as json_module
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from . import messages, qos, ros
from .errors import CliError

Window = typer.Option(10000, "--window", "-w", min=2, help="Messages that a figure is taken over.")
Duration = typer.Option(None, "--duration", min=0.0, help="Stop after so many seconds.")


def register(group: typer.Typer) -> None:
    group.command("echo")(echo)
    group.command("hz")(hz)
    group.command("bw")(bandwidth)


def echo(
    name: str = typer.Argument(..., help="Topic name."),
    kind: str = typer.Argument(None, metavar="[TYPE]", help="Message type; default: as published."),
    once: bool = typer.Option(False, "--once", help="Print one message and exit."),
    field: str = typer.Option(
        "", "--field", help="Print this field only, such as pose.position.x or ranges[0]."
    ),
    count: int = typer.Option(0, "--count", min=0, help="Print so many messages and exit."),
    timeout: float = typer.Option(
        None, "--timeout", min=0.0, help="Give up after so many seconds without a message."
    ),
    no_arr: bool = typer.Option(False, "--no-arr", help="Do not print the contents of arrays."),
    no_str: bool = typer.Option(False, "--no-str", help="Do not print the contents of strings."),
    full_length: bool = typer.Option(
        False, "--full-length", "-f", help="Do not cut long arrays and strings."
    ),
    truncate_length: int = typer.Option(128, "--truncate-length", "-l", min=1, help="Where they are cut."),
    flow: bool = typer.Option(False, "--flow-style", help="One line for each message."),
    as_csv: bool = typer.Option(False, "--csv", help="Comma-separated values."),
    json: bool = typer.Option(
        False, "--json", help="One JSON object a line; nothing is cut unless asked for."
    ),
    spin_time: float = ros.SpinTime,
    profile: str = qos.Profile,
    depth: int = qos.Depth,
    reliability: str = qos.Reliability,
    durability: str = qos.Durability,
) -> None:
    """Print the messages of a topic.

    Example: qeil topic echo /result --field text
    """
    limit = 1 if once else count
    cut = None if full_length or (json and truncate_length == 128) else truncate_length
    printed = 0

    def show(message: Any) -> None:
        nonlocal printed
        value, typename = messages.select(message, field) if field else (message, "")
        plain = messages.to_plain(value, cut, no_arr, no_str, typename)
        if json:
            print(json_module.dumps(plain), flush=True)
        elif as_csv:
            print(_csv_row(plain), flush=True)
        else:
            text = messages.to_yaml(plain, flow) if isinstance(plain, (dict, list)) else f"{plain}\n"
            print(f"{text}---", flush=True)
        printed += 1

    with (
        ros.graph_node(spin_time) as node,
        _subscription(node, name, kind, show, (profile, depth, reliability, durability)),
    ):
        heard = time.monotonic()
        while not limit or printed < limit:
            before = printed
            _spin(node, 0.1)
            if printed != before:
                heard = time.monotonic()
            elif timeout is not None and time.monotonic() - heard > timeout:
                raise CliError(f"no message on {ros.absolute(name)!r} for {timeout:g} s", exit_code=1)


def hz(
    name: str = typer.Argument(..., help="Topic name."),
    window: int = Window,
    duration: float = Duration,
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print the rate at which messages arrive, once a second.

    Example: qeil topic hz /camera/image_raw --window 100
    """
    arrivals: deque[float] = deque(maxlen=window)

    def report() -> dict[str, float] | None:
        gaps = [later - earlier for earlier, later in zip(arrivals, list(arrivals)[1:], strict=False)]
        if not gaps:
            return None
        mean = sum(gaps) / len(gaps)
        deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
        rate = 1.0 / mean if mean > 0 else math.inf
        figures = {"rate_hz": rate, "min_s": min(gaps), "max_s": max(gaps), "std_dev_s": deviation}
        return {**figures, "window": len(gaps) + 1}

    def show(figures: dict[str, float]) -> None:
        print(f"average rate: {figures['rate_hz']:.3f}")
        print(
            f"\tmin: {figures['min_s']:.3f}s max: {figures['max_s']:.3f}s "
            f"std dev: {figures['std_dev_s']:.5f}s window: {figures['window']}",
            flush=True,
        )

    _watch(name, lambda data: arrivals.append(time.perf_counter()), report, show, duration, json, spin_time)


def bandwidth(
    name: str = typer.Argument(..., help="Topic name."),
    window: int = typer.Option(100, "--window", "-w", min=2, help="Messages that a figure is taken over."),
    duration: float = Duration,
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print how many bytes a second a topic carries, once a second.

    Example: qeil topic bw /features
    """
    sizes: deque[tuple[float, int]] = deque(maxlen=window)

    def report() -> dict[str, float] | None:
        if len(sizes) < 2:
            return None
        each = [size for _, size in sizes]
        span = max(time.perf_counter() - sizes[0][0], 1e-9)
        figures = {"bytes_per_s": sum(each) / span, "mean_bytes": sum(each) / len(each)}
        return {**figures, "min_bytes": min(each), "max_bytes": max(each), "window": len(each)}

    def show(figures: dict[str, float]) -> None:
        print(f"{_amount(figures['bytes_per_s'])}/s from {figures['window']} messages")
        print(
            f"\tMessage size mean: {_amount(figures['mean_bytes'])} min: {_amount(figures['min_bytes'])} "
            f"max: {_amount(figures['max_bytes'])}",
            flush=True,
        )

    def take(data: bytes) -> None:
        sizes.append((time.perf_counter(), len(data)))

    _watch(name, take, report, show, duration, json, spin_time)


def _watch(
    name: str,
    take: Callable[[bytes], None],
    report: Callable[[], dict[str, float] | None],
    show: Callable[[dict[str, float]], None],
    duration: float | None,
    json: bool,
    spin_time: float | None,
) -> None:
    """Once a second says what `report` makes of the raw messages that `take` took; as JSON only once, at
    the end."""
    with ros.graph_node(spin_time) as node, _subscription(node, name, None, take, raw=True):
        start = time.monotonic()
        due = start + 1.0
        try:
            while duration is None or time.monotonic() - start < duration:
                _spin(node, 0.1)
                if time.monotonic() >= due:
                    due += 1.0
                    figures = report()
                    if figures is not None and not json:
                        show(figures)
        finally:
            figures = report()
            if json:
                ros.print_json(figures)
            elif figures is not None:
                show(figures)
        if figures is None:
            raise CliError(f"fewer than two messages on {ros.absolute(name)!r}", exit_code=1)


@contextmanager
def _subscription(
    node: Any,
    name: str,
    kind: str | None,
    callback: Callable[[Any], None],
    options: tuple[Any, ...] = (),
    raw: bool = False,
) -> Iterator[None]:
    topic = ros.absolute(name)
    if kind is None:
        types = dict(node.get_topic_names_and_types()).get(topic)
        if not types:
            raise CliError(
                f"no topic {topic!r} in the graph, so its type is unknown; give the type", exit_code=1
            )
        if len(types) > 1:
            raise CliError(
                f"topic {topic!r} has several types ({', '.join(types)}); give one of them", exit_code=1
            )
        kind = types[0]
    cls = ros.load_interface(kind)
    profile = qos.choose(list(node.get_publishers_info_by_topic(topic)), *options)
    subscription = node.create_subscription(cls, topic, callback, profile, raw=raw)
    try:
        yield
    finally:
        node.destroy_subscription(subscription)


def _spin(node: Any, timeout_s: float) -> None:
    import rclpy

    rclpy.spin_once(node, timeout_sec=timeout_s)


def _csv_row(plain: Any) -> str:
    def flat(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for entry in value:
                yield from flat(entry)
        else:
            yield value

    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(flat(plain))
    return buffer.getvalue()


def _amount(count: float) -> str:
    for unit, size in (("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} B"
