"""`qeil run`."""

from __future__ import annotations

import os
import shlex

import typer

from .errors import CliError


def register(app: typer.Typer) -> None:
    settings = {"ignore_unknown_options": True, "allow_interspersed_args": False}
    app.command("run", context_settings=settings)(run)


Arguments = typer.Argument(None, metavar="[ARGUMENTS]...", help="Passed on as they are.")


def run(
    package: str = typer.Argument(..., help="Package name."),
    executable: str = typer.Argument(..., help="Executable name."),
    arguments: list[str] = Arguments,
    prefix: str = typer.Option("", "--prefix", help="Words to put before the command, such as 'nice -n 10'."),
) -> None:
    """Run one executable of a package, in place of this process.

    Example: qeil run qeil_ros encoder --ros-args -r image:=/camera/image_raw -p bits:=4
    """
    from .packages import child_environ, own_executables, packages

    environ = child_environ()
    try:
        command = packages(environ).executable(package, executable)
    except LookupError as error:
        known = f"; it has: {', '.join(own_executables())}" if package == "qeil_ros" else ""
        raise CliError(f"{error.args[0]}{known}") from error
    command = [*shlex.split(prefix), *command, *(arguments or [])]
    try:
        os.execvpe(command[0], command, environ)
    except OSError as error:
        raise CliError(f"cannot run {command[0]!r}: {error.strerror}", exit_code=1) from error
