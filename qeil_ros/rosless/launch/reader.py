"""Reads a launch file: walks its elements in order, as ROS 2 launch executes them, and collects what they
ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import process, schema
from .description import LaunchDescription, LaunchError, LogMessage, ProcessSpec, ShutdownRequest
from .packages import Packages
from .scope import Scope, join_namespace
from .substitutions import Environment, SubstitutionError, as_bool, expand, parse_template
from .values import number, typed_value
from .xmltree import Element, read_xml

_MAX_INCLUDE_DEPTH = 64


@dataclass(frozen=True)
class Argument:
    """A declared launch argument. `default` is as written, substitutions and all; None means that it is
    required."""

    name: str
    default: str | None
    description: str
    choices: tuple[str, ...]


def parse(
    path: Path | str,
    arguments: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    packages: Packages | None = None,
) -> LaunchDescription:
    """What a launch file asks for, with these arguments, in this environment.

    Raises:
        LaunchError: the file cannot be carried out; the message names file and line.
    """
    environ = dict(os.environ if environ is None else environ)
    reader = _Reader(environ, packages or Packages(environ))
    reader.run_file(_absolute(path), Scope(dict(arguments or {}), dict(environ)))
    return LaunchDescription(tuple(reader.actions))


def declared_arguments(
    path: Path | str, environ: Mapping[str, str] | None = None, packages: Packages | None = None
) -> list[Argument]:
    """The arguments that a launch file and its includes declare, also those in branches that a condition
    may leave out. An include whose file depends on an argument without default is passed over, as `ros2
    launch` does.

    Raises:
        LaunchError: a file cannot be read.
    """
    environ = dict(os.environ if environ is None else environ)
    found: dict[str, Argument] = {}
    _collect(_load(_absolute(path)), Scope.fresh(environ), packages or Packages(environ), found, 0)
    return list(found.values())


def _absolute(path: Path | str) -> Path:
    return Path(os.path.abspath(path))


def _load(path: Path) -> Element:
    if path.name.endswith((".launch.py", ".py", ".yaml", ".yml")):
        raise LaunchError("only XML launch files are read here", path)
    root = read_xml(path)
    schema.check(root)
    return root


def _argument(element: Element) -> Argument:
    literal = {
        name: expand(parse_template(text), _NOTHING)
        for name, text in element.attributes.items()
        if name in ("name", "description")
    }
    return Argument(
        name=literal["name"],
        default=element.attributes.get("default"),
        description=literal.get("description", ""),
        choices=tuple(choice.attributes["value"] for choice in element.all("choice")),
    )


_NOTHING = Environment({}, {}, Packages({}), Path())


def _collect(root: Element, scope: Scope, packages: Packages, found: dict[str, Argument], depth: int) -> None:
    env = Environment(scope.variables, scope.environ, packages, root.file)

    def maybe(element: Element, attribute: str) -> str | None:
        try:
            return expand(parse_template(element.attributes[attribute]), env)
        except SubstitutionError:
            return None  # it depends on what is known only when launching

    for element in root.children:
        if element.tag == "arg" and "value" not in element.attributes:
            argument = _argument(element)
            found.setdefault(argument.name, argument)
            default = maybe(element, "default") if argument.default is not None else None
            if default is not None:
                scope.variables.setdefault(argument.name, default)
        elif element.tag == "let":
            value, name = maybe(element, "value"), maybe(element, "name")
            if value is not None and name is not None:
                scope.variables[name] = value
        elif element.tag == "include":
            file = maybe(element, "file")
            if file is not None and Path(file).is_file() and depth < _MAX_INCLUDE_DEPTH:
                given = {child.attributes["name"] for child in element.all("arg")}
                included: dict[str, Argument] = {}
                _collect(_load(_absolute(file)), scope.copy(), packages, included, depth + 1)
                for name, argument in included.items():
                    if name not in given:
                        found.setdefault(name, argument)
        elif element.tag in ("group", "timer"):
            _collect(element, scope.copy(), packages, found, depth)


class _Reader:
    def __init__(self, environ: dict[str, str], packages: Packages) -> None:
        self.environ = environ
        self.packages = packages
        self.anonymous: dict[str, str] = {}
        self.actions: list[ProcessSpec | LogMessage | ShutdownRequest] = []
        self.after_s = 0.0
        self.depth = 0

    def run_file(self, path: Path, scope: Scope) -> None:
        root = _load(path)
        self.depth += 1
        if self.depth > _MAX_INCLUDE_DEPTH:
            raise root.error(f"files include each other more than {_MAX_INCLUDE_DEPTH} deep")
        self.run(root.children, scope)
        self.depth -= 1

    def run(self, elements: list[Element], scope: Scope) -> None:
        for element in elements:
            if element.tag == "keep":
                continue
            env = Environment(scope.variables, scope.environ, self.packages, element.file, self.anonymous)
            attributes = _Attributes(element, env)
            try:
                if attributes.condition():
                    _ACTIONS[element.tag](self, attributes, scope)
            except LaunchError:
                raise
            except (SubstitutionError, LookupError) as error:
                message = error.args[0] if error.args else str(error)
                raise element.error(f"<{element.tag}>: {message}") from error

    def arg(self, at: _Attributes, scope: Scope) -> None:
        argument = _argument(at.element)
        if argument.name not in scope.variables:
            if argument.default is None:
                about = f" ({argument.description})" if argument.description else ""
                raise at.element.error(
                    f"argument {argument.name!r}{about} is required: give {argument.name}:=VALUE"
                )
            scope.variables[argument.name] = at.get("default")
        value = scope.variables[argument.name]
        if argument.choices and value not in argument.choices:
            choices = ", ".join(argument.choices)
            raise at.element.error(f"argument {argument.name!r} is {value!r}; valid choices: {choices}")

    def let(self, at: _Attributes, scope: Scope) -> None:
        scope.variables[at.get("name")] = at.get("value")

    def group(self, at: _Attributes, scope: Scope) -> None:
        kept = {}
        for child in at.element.all("keep"):
            keep = _Attributes(child, at.env)
            kept[keep.get("name")] = keep.get("value")
        inner = scope
        if as_bool(at.get("scoped", "true")):
            inner = scope.copy() if as_bool(at.get("forwarding", "true")) else Scope.fresh(self.environ)
        inner.variables.update(kept)
        self.run(at.element.children, inner)

    def include(self, at: _Attributes, scope: Scope) -> None:
        file = _absolute(at.get("file"))
        if not file.is_file():
            raise at.element.error(f"included launch file {str(file)!r} does not exist")
        for child in at.element.all("arg"):
            argument = _Attributes(child, at.env)
            scope.variables[argument.get("name")] = argument.get("value")
        self.run_file(file, scope)

    def node(self, at: _Attributes, scope: Scope) -> None:
        self.actions.append(process.node(at.element, scope, at.env, self.after_s))

    def executable(self, at: _Attributes, scope: Scope) -> None:
        self.actions.append(process.executable(at.element, scope, at.env, self.after_s))

    def push_ros_namespace(self, at: _Attributes, scope: Scope) -> None:
        scope.namespace = join_namespace(scope.namespace, at.get("namespace"))

    def set_env(self, at: _Attributes, scope: Scope) -> None:
        scope.environ[at.get("name")] = at.get("value")

    def append_env(self, at: _Attributes, scope: Scope) -> None:
        name, value, separator = at.get("name"), at.get("value"), at.get("separator", os.pathsep)
        parts = [scope.environ[name], value] if name in scope.environ else [value]
        scope.environ[name] = separator.join(
            reversed(parts) if as_bool(at.get("prepend", "false")) else parts
        )

    def unset_env(self, at: _Attributes, scope: Scope) -> None:
        scope.environ.pop(at.get("name"), None)

    def set_parameter(self, at: _Attributes, scope: Scope) -> None:
        value = typed_value(at.element.attributes["value"], at.env)
        scope.parameters.append((at.get("name"), value))

    def set_parameters_from_file(self, at: _Attributes, scope: Scope) -> None:
        path = _absolute(at.get("filename"))
        if not path.is_file():
            raise at.element.error(f"parameter file {str(path)!r} does not exist")
        scope.parameters.append(str(path))

    def set_remap(self, at: _Attributes, scope: Scope) -> None:
        scope.remaps.append((at.get("from"), at.get("to")))

    def log(self, at: _Attributes, scope: Scope) -> None:
        self.actions.append(LogMessage(at.get("message"), self.after_s))

    def timer(self, at: _Attributes, scope: Scope) -> None:
        before = self.after_s
        self.after_s += number(at.get("period"), float, "period", minimum=0.0)
        self.run(at.element.children, scope)
        self.after_s = before

    def shutdown(self, at: _Attributes, scope: Scope) -> None:
        self.actions.append(ShutdownRequest(at.get("reason", "the launch file asked for it"), self.after_s))


_ACTIONS: dict[str, Callable[[_Reader, _Attributes, Scope], None]] = {
    tag: getattr(_Reader, tag.replace("-", "_")) for tag in schema.ACTIONS
}


class _Attributes:
    """An element's attributes, with substitutions performed."""

    def __init__(self, element: Element, env: Environment) -> None:
        self.element = element
        self.env = env

    def get(self, name: str, default: str = "") -> str:
        text = self.element.attributes.get(name)
        if text is None:
            return default
        try:
            return expand(parse_template(text), self.env)
        except SubstitutionError as error:
            raise self.element.error(f"{name}={text!r}: {error}") from error

    def condition(self) -> bool:
        for name, wanted in (("if", True), ("unless", False)):
            if name in self.element.attributes:
                value = self.get(name).strip().lower()
                if value not in ("true", "1", "false", "0"):
                    raise self.element.error(f"{name}={value!r}; a condition is true, 1, false or 0")
                return (value in ("true", "1")) is wanted
        return True
