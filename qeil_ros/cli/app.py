"""The command line's root: names and one-line helps of all commands; their modules come in when they are
used."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
import typer.core
import typer.main

from .errors import CliError

# name: (module, help). A module has `register(app)`, which adds the command, or the group of commands, of
# this name.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "qeil_ros.cli.demo",
        "Play a recording through the whole graph and show who answered, and how fast.",
    ),
    "launch": ("qeil_ros.cli.launch", "Start the processes of an XML launch file."),
    "run": ("qeil_ros.cli.run", "Run one executable of a package."),
    "router": (
        "qeil_ros.cli.router",
        "Run the router through which the processes of a graph find each other.",
    ),
    "node": ("qeil_ros.cli.node", "List nodes, and what a node publishes and subscribes to."),
    "topic": ("qeil_ros.cli.topic", "List, print, measure and publish topics."),
    "service": ("qeil_ros.cli.service", "List and call services."),
    "param": ("qeil_ros.cli.param", "List, get, set, describe, dump and load parameters."),
    "lifecycle": ("qeil_ros.cli.lifecycle", "See and change the states of lifecycle nodes."),
    "interface": ("qeil_ros.cli.interface", "Show message and service definitions."),
    "bag": ("qeil_ros.cli.bag", "Play, record and inspect rosbag2 recordings (mcap and sqlite3)."),
    "status": ("qeil_ros.cli.status", "Show what the supervisor sees and why it decides as it does, live."),
    "sensors": ("qeil_ros.cli.sensors", "Show what this machine can tell: heat, power, load, clocks."),
    "devices": (
        "qeil_ros.cli.devices",
        "Show what this machine can run networks on, how fast it is, and what that rests on.",
    ),
    "timeline": ("qeil_ros.cli.timeline", "Draw a flight log: modes, heat, power, link, answers over time."),
    "model": ("qeil_ros.cli.model", "Make, check and look into split models."),
    "split": ("qeil_ros.cli.split", "Cut an ONNX model in two, and show where it can be cut."),
    "export": ("qeil_ros.cli.export", "Cut a model of Hugging Face in two, from a folder on this disk."),
    "prune": ("qeil_ros.cli.prune", "Take weights out of a model's agent part."),
    "local": ("qeil_ros.cli.local", "Give a model an answer that the robot can find alone."),
    "quantize": ("qeil_ros.cli.quantize", "Pack the weights of a model's agent part in few bits."),
    "evaluate": ("qeil_ros.cli.evaluate", "Score a model at every cut and width: accuracy, bytes, time."),
    "basis": (
        "qeil_ros.cli.basis",
        "Learn the basis in which a model's features take the fewest bytes.",
    ),
    "profile": ("qeil_ros.cli.profile", "Measure how fast this machine runs a model, and at what power."),
    "plan": (
        "qeil_ros.cli.plan",
        "Choose cut, bits and clock for a promised delay and energy, and write the plan.",
    ),
    "measure": (
        "qeil_ros.cli.measure",
        "Measure how coverage, energy and time grow with size, samples and tokens.",
    ),
    "fit": ("qeil_ros.cli.fit", "Fit the laws of coverage, energy, latency and cost to measurements."),
    "place": (
        "qeil_ros.cli.place",
        "Choose which part of a network runs on which device, and run it so.",
    ),
    "bench": ("qeil_ros.cli.bench", "Run a benchmark and compare it with its target."),
    "reproduce": ("qeil_ros.cli.reproduce", "Repeat a paper's experiments and compare with it."),
}

_UsageError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


class LazyGroup(typer.core.TyperGroup):
    """A group that knows its commands by name and imports the one that is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """For listings and suggestions: a placeholder with the help line."""
        if cmd_name not in COMMANDS:
            return None
        return typer.core.TyperCommand(cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS:
            return super().resolve_command(ctx, args)
        return args[0], load(args[0]), args[1:]


def load(name: str) -> Any:
    """The command itself. CliError where a part of the installation that it needs is missing."""
    module_name = COMMANDS[name][0]
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise CliError(
            f"'qeil {name}' needs the Python module {error.name!r}, which is not installed"
        ) from error
    holder = typer.Typer()
    holder.callback()(lambda: None)  # keeps it a group, also with a single command in it
    module.register(holder)
    return typer.main.get_group(holder).commands[name]


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    """Run a vision model that is too heavy for the robot half on it and half off it.

    Example: qeil demo --seconds 15
    """
    if version:
        from qeil_ros import __version__

        print(f"qeil {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0, 1 for a failure, 2 for bad input, 130 after Ctrl-C."""
    command = typer.main.get_command(app)
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = command.main(args=words, prog_name="qeil", standalone_mode=False)
        sys.stdout.flush()
    except CliError as error:
        return _complain(str(error), error.exit_code)
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return 2
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "qeil"
        return _complain(f"{error.format_message().rstrip('.')}; see '{path} --help'", 2)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _complain(message: str, code: int) -> int:
    sys.stdout.flush()
    print(f"qeil: {' '.join(message.split())}", file=sys.stderr)
    return code
