"""The `$(...)` language of launch files: its grammar, and what each substitution means.

Grammar, as in ROS 2 launch: outside of a substitution every character is itself, except that a backslash
makes the next character literal. Inside of one, arguments are separated by spaces; an argument in single or
double quotes may hold spaces, parentheses and the other kind of quote; substitutions nest everywhere.
"""

from __future__ import annotations

import math
import os
import random
import re
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from .packages import Packages


class SubstitutionError(ValueError):
    """A substitution that cannot be read or performed; the reader adds file and line."""


@dataclass(frozen=True)
class Call:
    """`$(name argument ...)`; each argument is a template of its own."""

    name: str
    arguments: tuple[Template, ...]


Template = tuple["str | Call", ...]


@dataclass
class Environment:
    """What substitutions can see."""

    variables: dict[str, str]
    environ: Mapping[str, str]
    packages: Packages
    file: Path
    anonymous: dict[str, str] = field(default_factory=dict)


# ---- reading -----------------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def parse_template(text: str) -> Template:
    """Reads text with substitutions in it. SubstitutionError where it is malformed or names an unknown
    one."""
    return _Reader(text).fragments(stop="")


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fragments(self, stop: str, quote: str = "") -> Template:
        """Reads up to one of the characters in `stop`, which is not consumed. `quote` is the quote that we
        are in."""
        found: list[str | Call] = []
        plain: list[str] = []
        while self.at < len(self.text) and self.text[self.at] not in stop:
            if self.text.startswith("$(", self.at):
                if plain:
                    found.append("".join(plain))
                    plain.clear()
                found.append(self.call(quote))
                continue
            if self.text[self.at] == "\\" and self.at + 1 < len(self.text):
                self.at += 1
            plain.append(self.text[self.at])
            self.at += 1
        if plain:
            found.append("".join(plain))
        return tuple(found)

    def call(self, quote: str) -> Call:
        start = self.at
        name = _NAME.match(self.text, self.at + 2)
        if name is None:
            raise SubstitutionError(f"no substitution name after '$(' in {self.text!r}")
        self.at = name.end()
        arguments = []
        while True:
            before = self.at
            while self.text.startswith(" ", self.at):
                self.at += 1
            if self.at >= len(self.text) or self.text[self.at] == quote != "":
                raise SubstitutionError(f"no closing ')' for {self.text[start:]!r}")
            if self.text[self.at] == ")":
                self.at += 1
                break
            if self.at == before:
                raise SubstitutionError(f"unexpected {self.text[self.at]!r} in {self.text[start:]!r}")
            arguments.append(self.argument(quote, start))
        _check_call(name.group(), len(arguments))
        return Call(name.group(), tuple(arguments))

    def argument(self, quote: str, start: int) -> Template:
        opening = self.text[self.at]
        if not quote and opening in "'\"":
            self.at += 1
            value = self.fragments(stop=opening, quote=opening)
            if self.at >= len(self.text):
                raise SubstitutionError(f"no closing {opening} in {self.text[start:]!r}")
            self.at += 1
            return value
        value = self.fragments(stop=" ()" + (quote or "'\""), quote=quote)
        if self.at < len(self.text) and self.text[self.at] == "(":
            raise SubstitutionError(f"unescaped '(' in {self.text[start:]!r}; quote the argument")
        return value


def _check_call(name: str, count: int) -> None:
    if name not in _SUBSTITUTIONS:
        raise SubstitutionError(
            f"unknown substitution $({name} ...); known: {', '.join(sorted(_SUBSTITUTIONS))}"
        )
    low, high, _ = _SUBSTITUTIONS[name]
    if not low <= count <= high:
        expected = str(low) if low == high else f"{low} to {high}" if high < _MANY else f"{low} or more"
        raise SubstitutionError(f"$({name}) takes {expected} argument(s), not {count}")


# ---- performing --------------------------------------------------------------------------------------------


def expand(template: Template, env: Environment) -> str:
    """Performs the substitutions of a template. SubstitutionError where one fails."""
    return "".join(part if isinstance(part, str) else perform(part, env) for part in template)


def perform(call: Call, env: Environment) -> str:
    arguments = [expand(argument, env) for argument in call.arguments]
    try:
        return _SUBSTITUTIONS[call.name][2](env, *arguments)
    except LookupError as error:
        raise SubstitutionError(f"$({call.name}): {error.args[0] if error.args else error}") from error


def as_bool(text: str) -> bool:
    """YAML's truth values, and 1 and 0."""
    value = {"1": True, "0": False}.get(text.strip())
    if value is None:
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = None
    if not isinstance(value, bool):
        raise SubstitutionError(f"{text!r} is neither true nor false")
    return value


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _var(env: Environment, name: str, default: str | None = None) -> str:
    value = env.variables.get(name, default)
    if value is None:
        raise SubstitutionError(f"launch configuration {name!r} is not set; declare it with <arg> or <let>")
    return value


def _env(env: Environment, name: str, default: str | None = None) -> str:
    value = env.environ.get(name, default)
    if value is None:
        raise SubstitutionError(f"environment variable {name!r} is not set and has no default")
    return value


def _anon(env: Environment, name: str) -> str:
    if name not in env.anonymous:
        unique = f"{name}_{socket.gethostname()}_{os.getpid()}_{random.SystemRandom().getrandbits(63)}"
        env.anonymous[name] = re.sub(r"[.:-]", "_", unique)
    return env.anonymous[name]


def _find_exec(env: Environment, name: str) -> str:
    path = shutil.which(name, path=env.environ.get("PATH"))
    if path is None:
        raise SubstitutionError(f"executable {name!r} is not on the PATH")
    return path


def _exec_in_pkg(env: Environment, name: str, package: str) -> str:
    command = env.packages.executable(package, name)
    if len(command) != 1:
        raise SubstitutionError(
            f"{name!r} of {package!r} is run as {' '.join(command)!r}, which is not one path"
        )
    return command[0]


def _eval(env: Environment, expression: str) -> str:
    # A launch file starts processes, so it is trusted; names are limited for clarity's sake, not as a
    # sandbox.
    names = {name: value for name, value in vars(math).items() if not name.startswith("_")}
    names |= {"math": math, "abs": abs, "min": min, "max": max, "round": round, "len": len, "int": int}
    names |= {"float": float, "str": str, "bool": bool, "any": any, "all": all, "sum": sum, "sorted": sorted}
    try:
        return str(eval(expression, {"__builtins__": {}}, names))
    except Exception as error:
        raise SubstitutionError(f"$(eval {expression!r}) failed: {error}") from error


_MANY = 1000
_Performer = Callable[..., str]
_SUBSTITUTIONS: dict[str, tuple[int, int, _Performer]] = {
    "var": (1, 2, _var),
    "env": (1, 2, _env),
    "anon": (1, 1, _anon),
    "dirname": (0, 0, lambda env: str(env.file.parent)),
    "filename": (0, 0, lambda env: str(env.file)),
    "find-pkg-share": (1, 1, lambda env, package: str(env.packages.share(package))),
    "find-pkg-prefix": (1, 1, lambda env, package: str(env.packages.prefix(package))),
    "find-exec": (1, 1, _find_exec),
    "exec-in-pkg": (2, 2, _exec_in_pkg),
    "eval": (1, 1, _eval),
    "if": (2, 3, lambda env, condition, yes, no="": yes if as_bool(condition) else no),
    "equals": (2, 2, lambda env, left, right: _bool(left == right)),
    "not-equals": (2, 2, lambda env, left, right: _bool(left != right)),
    "not": (1, 1, lambda env, value: _bool(not as_bool(value))),
    "and": (2, 2, lambda env, left, right: _bool(as_bool(left) and as_bool(right))),
    "or": (2, 2, lambda env, left, right: _bool(as_bool(left) or as_bool(right))),
    "any": (1, _MANY, lambda env, *values: _bool(any(map(as_bool, values)))),
    "all": (1, _MANY, lambda env, *values: _bool(all(map(as_bool, values)))),
}
