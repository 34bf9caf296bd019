"""`--ros-args`: remapping rules, parameters, log levels. Pure functions of the command line and the files
it names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import _names
from ._rclpy_pybind11 import RCLInvalidROSArgsError, UnknownROSArgsError
from ._values import Value, matches_node, parse_parameter_file, parse_value
from .impl.logging_severity import LoggingSeverity

ROS_ARGS = "--ros-args"
_END = "--"
_WITH_VALUE = {
    "-r": "--remap",
    "--remap": "--remap",
    "-p": "--param",
    "--param": "--param",
    "--params-file": "--params-file",
    "--log-level": "--log-level",
    "-e": "--enclave",
    "--enclave": "--enclave",
    # There is one log output, the console; these choose and name files of other libraries.
    "--log-config-file": "--log-config-file",
    "--log-file-name": "--log-file-name",
}
_LOG_OUTPUTS = ("rosout", "stdout", "external-lib")
_NODE_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_RULE = re.compile(
    rf"^(?:(?P<node>{_NODE_NAME}):(?!//))?(?P<kind>rostopic://|rosservice://)?"
    r"(?P<from>__node|__name|__ns|~?[A-Za-z0-9_/{}]+|~):=(?P<to>.+)$"
)
_PARAM = re.compile(r"^(?:(?P<node>[A-Za-z0-9_/*]+):)?(?P<name>[^:=]+):=(?P<value>.*)$", re.DOTALL)


@dataclass(frozen=True)
class RemapRule:
    """`[node:][rostopic://|rosservice://]from:=to`"""

    node: str | None
    kind: str  # topic, service, any, node, namespace
    source: str
    target: str

    def applies_to(self, kind: str, node_name: str) -> bool:
        return self.kind in (kind, "any") and self.node in (None, node_name)


@dataclass
class Arguments:
    """What the ROS arguments of a process, or those given to one node, say. Later ones win where they
    disagree."""

    remap_rules: list[RemapRule] = field(default_factory=list)
    parameters: list[tuple[str, dict[str, Value]]] = field(default_factory=list)
    log_level: LoggingSeverity | None = None
    logger_levels: dict[str, LoggingSeverity] = field(default_factory=dict)
    log_outputs: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(_LOG_OUTPUTS, True))
    enclave: str | None = None

    def parameters_for(self, fully_qualified_name: str) -> dict[str, Value]:
        """The overrides for one node."""
        overrides: dict[str, Value] = {}
        for pattern, parameters in self.parameters:
            if matches_node(pattern, fully_qualified_name):
                overrides.update(parameters)
        return overrides


def parse_arguments(args: Sequence[str], *, ros_only: bool = False) -> Arguments:
    """Reads what stands between `--ros-args` and `--`, everything if `ros_only`.

    :raises UnknownROSArgsError: for an argument that is not a ROS argument.
    :raises RCLInvalidROSArgsError: for one that is and cannot be read.
    """
    arguments = Arguments()
    unknown: list[str] = []
    in_scope = ros_only
    position = 0
    while position < len(args):
        arg = args[position]
        position += 1
        if arg == ROS_ARGS:
            in_scope = True
        elif not in_scope:
            continue
        elif arg == _END:
            in_scope = ros_only
        elif arg in _WITH_VALUE:
            if position >= len(args) or args[position] in (ROS_ARGS, _END):
                raise _invalid(arg, "it needs a value")
            _apply(arguments, _WITH_VALUE[arg], args[position])
            position += 1
        elif not _apply_switch(arguments, arg):
            unknown.append(arg)
    if unknown:
        raise UnknownROSArgsError(f"Found unknown ROS arguments: '[{', '.join(unknown)}]'")
    return arguments


def without_ros_arguments(args: Sequence[str]) -> list[str]:
    """The arguments that are the program's own."""
    kept: list[str] = []
    in_scope = False
    for arg in args:
        if arg == ROS_ARGS:
            in_scope = True
        elif in_scope:
            in_scope = arg != _END
        else:
            kept.append(arg)
    return kept


def remap_node(name: str, namespace: str, sources: Sequence[Arguments]) -> tuple[str, str]:
    """A node's name and namespace after `__node` and `__ns` rules; `sources` in the order of precedence."""
    new_name = _first(sources, "node", name) or name
    _names.validate_node_name(new_name)
    new_namespace = _first(sources, "namespace", new_name) or namespace
    new_namespace = _names.absolute_namespace(new_namespace)
    _names.validate_namespace(new_namespace)
    return new_name, new_namespace


def remap_name(
    name: str, node_name: str, namespace: str, sources: Sequence[Arguments], *, is_service: bool = False
) -> str:
    """A fully qualified topic or service name after the first rule that matches it."""
    kind = "service" if is_service else "topic"
    for rule in (rule for source in sources for rule in source.remap_rules):
        if rule.applies_to(kind, node_name):
            source = _names.resolve(rule.source, node_name, namespace, is_service=is_service)
            if source == name:
                return _names.resolve(rule.target, node_name, namespace, is_service=is_service)
    return name


def parse_remap_rule(text: str) -> RemapRule:
    """One rule.

    :raises ValueError: when it is none.
    """
    match = _RULE.match(text)
    if match is None:
        raise ValueError("expected [node:]from:=to")
    node, kind, source, target = match["node"], match["kind"], match["from"], match["to"]
    if source in ("__node", "__name", "__ns"):
        if kind:
            raise ValueError(f"{kind} cannot stand before {source}")
        if source == "__ns":
            _names.validate_namespace(target)
            return RemapRule(node, "namespace", source, target)
        _names.validate_node_name(target)
        return RemapRule(node, "node", source, target)
    _names.validate_topic_name(source)
    for scheme in ("rostopic://", "rosservice://"):
        target = target.removeprefix(scheme)
    _names.validate_topic_name(target)
    kinds = {None: "any", "rostopic://": "topic", "rosservice://": "service"}
    return RemapRule(node, kinds[kind], source, target)


def _first(sources: Sequence[Arguments], kind: str, node_name: str) -> str | None:
    for source in sources:
        for rule in source.remap_rules:
            if rule.kind == kind and rule.node in (None, node_name):
                return rule.target
    return None


def _apply(arguments: Arguments, option: str, value: str) -> None:
    try:
        if option == "--remap":
            arguments.remap_rules.append(parse_remap_rule(value))
        elif option == "--param":
            arguments.parameters.append(_parse_parameter(value))
        elif option == "--params-file":
            arguments.parameters.extend(parse_parameter_file(Path(value).read_text(encoding="utf-8")))
        elif option == "--log-level":
            _apply_log_level(arguments, value)
        elif option == "--enclave":
            arguments.enclave = value
    except RCLInvalidROSArgsError:
        raise
    except Exception as error:
        # Names raise their own exceptions, files OSError, YAML ValueError: to the user all are a bad
        # argument.
        raise _invalid(f"{option} {value}", str(error)) from error


def _parse_parameter(text: str) -> tuple[str, dict[str, Value]]:
    match = _PARAM.match(text)
    if match is None:
        raise ValueError("expected [node:]name:=value")
    return match["node"] or "/**", {match["name"]: parse_value(match["value"])}


def _apply_log_level(arguments: Arguments, text: str) -> None:
    logger, separator, level = text.rpartition(":=")
    if separator and not logger:
        raise ValueError("expected level or logger:=level")
    severity = LoggingSeverity.from_string(level)
    if logger:
        arguments.logger_levels[logger] = severity
    else:
        arguments.log_level = severity


def _apply_switch(arguments: Arguments, arg: str) -> bool:
    for output in _LOG_OUTPUTS:
        if arg in (f"--enable-{output}-logs", f"--disable-{output}-logs"):
            arguments.log_outputs[output] = arg.startswith("--enable")
            return True
    return False


def _invalid(what: str, why: str) -> RCLInvalidROSArgsError:
    return RCLInvalidROSArgsError(f"Failed to parse ROS arguments: '{what}': {why}")
