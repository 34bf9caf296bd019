"""`qeil launch`."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import typer

from .errors import CliError

_COLOURS = (36, 33, 32, 35, 34, 31)


def register(app: typer.Typer) -> None:
    app.command("launch")(launch)


Words = typer.Argument(..., metavar="FILE|PACKAGE FILE [NAME:=VALUE]...", show_default=False)


def launch(
    words: list[str] = Words,
    show_args: bool = typer.Option(
        False, "--show-args", "-s", help="List the arguments that the file takes."
    ),
    dry_run: bool = typer.Option(False, "--print", "-p", help="Print the commands instead of running them."),
) -> int:
    """Start the processes of an XML launch file, as `ros2 launch` does, and end them together.

    Ctrl-C ends everything; again: without patience. The exit code is 1 if a process died by itself.

    Example: qeil launch qeil_ros robot.launch.xml use_sim_time:=true
    """
    from qeil_ros.rosless.launch import LaunchError, parse

    from .packages import child_environ, packages

    environ = child_environ()
    found = packages(environ)
    path, rest = _launch_file(words, found)
    arguments = _arguments(rest)
    try:
        declared = _declared(path, environ, found)
        if show_args:
            _show_arguments(declared)
            return 0
        description = parse(path, arguments, environ, found)
    except LaunchError as error:
        raise CliError(str(error)) from error
    known = {argument.name for argument in declared}
    for name in sorted(arguments.keys() - known):
        print(f"qeil launch: warning: {path.name} declares no argument {name!r}", file=sys.stderr)
    if dry_run:
        for spec in description.processes:
            print(f"[{spec.name}] {spec.shown_command()}")
        return 0
    return _run(description)


def _launch_file(words: list[str], found: Any) -> tuple[Path, list[str]]:
    first = Path(words[0])
    if first.is_file():
        return first, words[1:]
    if len(words) < 2 or ":=" in words[1]:
        raise CliError(
            f"no launch file {words[0]!r}; give a path, or a package and the name of its launch file"
        )
    package, name = words[:2]
    try:
        share = found.share(package)
    except LookupError as error:
        raise CliError(str(error.args[0])) from error
    for candidate in (share / "launch" / name, share / name):
        if candidate.is_file():
            return candidate, words[2:]
    present = sorted(path.name for path in (share / "launch").glob("*.xml"))
    raise CliError(f"package {package!r} has no launch file {name!r}; it has: {', '.join(present) or 'none'}")


def _arguments(words: list[str]) -> dict[str, str]:
    arguments = {}
    for word in words:
        name, separator, value = word.partition(":=")
        if not separator or not name:
            raise CliError(f"launch argument {word!r} is not of the form NAME:=VALUE")
        arguments[name] = value
    return arguments


def _declared(path: Path, environ: dict[str, str], found: Any) -> list[Any]:
    from qeil_ros.rosless.launch import declared_arguments

    return declared_arguments(path, environ, found)


def _show_arguments(declared: list[Any]) -> None:
    if not declared:
        print("No arguments.")
        return
    print("Arguments (pass arguments as '<name>:=<value>'):")
    for argument in declared:
        print(f"\n    '{argument.name}':")
        print(f"        {argument.description or 'no description given'}")
        if argument.choices:
            print(f"        Valid choices: {', '.join(argument.choices)}")
        if argument.default is not None:
            print(f"        (default: '{argument.default}')")


def _run(description: Any) -> int:
    from qeil_ros.rosless.launch import Launcher

    launcher = Launcher(description, _printer(), _log_file())

    def on_signal(number: int, frame: object) -> None:
        launcher.interrupt(f"received {signal.Signals(number).name}")

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        launcher.start()
        while not launcher.wait(
            0.5
        ):  # a bounded wait, so that signal handlers get their turn on every platform
            pass
    except OSError as error:
        raise CliError(str(error.strerror or error), exit_code=1) from error
    finally:
        launcher.shutdown()
        for number, handler in previous.items():
            signal.signal(number, handler)
    if launcher.error is not None:
        raise launcher.error
    return 1 if launcher.failed else 0


def _log_file() -> Path | None:
    """`<log folder>/<time>-<host>-<pid>/launch.log`, where `ros2 launch` has it; None where that cannot be
    written."""
    home = os.environ.get("ROS_HOME") or str(Path.home() / ".ros")
    folder = Path(os.environ.get("ROS_LOG_DIR") or Path(home) / "log")
    folder /= f"{time.strftime('%Y-%m-%d-%H-%M-%S')}-{socket.gethostname()}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"qeil launch: warning: no log file: {error}", file=sys.stderr)
        return None
    return folder / "launch.log"


def _printer() -> Any:
    from qeil_ros.rosless.launch.launcher import print_line

    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return print_line

    def in_colour(label: str, stream: str, line: str) -> None:
        if stream == "launch":
            print_line(label, stream, line)
            return
        colour = _COLOURS[int(label.rpartition("-")[2]) % len(_COLOURS)]
        target = sys.stderr if stream == "stderr" else sys.stdout
        target.write(f"\033[{colour}m[{label}]\033[0m {line}\n")
        target.flush()

    return in_colour
