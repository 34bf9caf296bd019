"""<node> and <executable> elements to `ProcessSpec`s: the command lines that ROS 2 launch would build."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .description import InlineFile, ProcessSpec
from .scope import Scope, check_node_name, join_namespace
from .substitutions import Environment, SubstitutionError, as_bool, expand, parse_template
from .values import number, typed_value
from .xmltree import Element

Word = str | InlineFile
_OUTPUTS = ("screen", "both", "log")


def split_command(text: str, env: Environment) -> list[str]:
    """Words as a shell splits them; the result of a substitution is never split, even with spaces in it."""
    values: list[str] = []
    marked: list[str] = []
    for part in parse_template(text):
        if isinstance(part, str):
            marked.append(part)
        else:
            marked.append(f"\ue000{len(values)}\ue001")
            values.append(expand((part,), env))
    try:
        words = shlex.split("".join(marked))
    except ValueError as error:
        raise SubstitutionError(f"cannot split {text!r} into words: {error}") from error
    for index, value in enumerate(values):
        words = [word.replace(f"\ue000{index}\ue001", value) for word in words]
    return words


def executable(element: Element, scope: Scope, env: Environment, after_s: float) -> ProcessSpec:
    command = split_command(element.attributes["cmd"], env)
    if not command:
        raise SubstitutionError("cmd is empty")
    name = _text(element, "name", env) or Path(command[0]).name
    return _spec(element, scope, env, after_s, name, command)


def node(element: Element, scope: Scope, env: Environment, after_s: float) -> ProcessSpec:
    program = expand(parse_template(element.attributes["exec"]), env)
    package = _text(element, "pkg", env)
    command: list[Word] = list(
        env.packages.executable(package, program) if package is not None else [program]
    )
    command += split_command(element.attributes.get("args", ""), env)
    ros_args = split_command(element.attributes.get("ros_args", ""), env)
    command += ["--ros-args", *ros_args, "--ros-args"] if ros_args else ["--ros-args"]

    name = _text(element, "name", env)
    if name is not None:
        command += ["-r", f"__node:={check_node_name(name)}"]
    namespace = join_namespace(scope.namespace, _text(element, "namespace", env))
    if namespace is not None:
        command += ["-r", f"__ns:={namespace}"]
    full_name = None if name is None or namespace is None else f"{namespace.rstrip('/')}/{name}"

    for parameter in scope.parameters:
        if isinstance(parameter, str):
            command += ["--params-file", parameter]
        else:
            command += ["-p", f"{parameter[0]}:={flow_yaml(parameter[1])}"]
    for child in element.all("param"):
        command += ["--params-file", _parameter_file(child, env, full_name or "/**")]
    own_remaps = [
        (_attribute(child, "from", env), _attribute(child, "to", env)) for child in element.all("remap")
    ]
    for source, target in [*scope.remaps, *own_remaps]:
        command += ["-r", f"{source}:={target}"]
    label = _text(element, "exec_name", env) or Path(program).name
    return _spec(element, scope, env, after_s, label, command, full_name)


def flow_yaml(value: Any) -> str:
    """One line of YAML for a parameter's value."""
    return yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("...\n").strip()


def _attribute(element: Element, name: str, env: Environment) -> str:
    try:
        return expand(parse_template(element.attributes[name]), env)
    except SubstitutionError as error:
        raise element.error(str(error)) from error


def _text(element: Element, name: str, env: Environment) -> str | None:
    return _attribute(element, name, env) if name in element.attributes else None


def _parameter_file(element: Element, env: Environment, node_key: str) -> Word:
    given = element.attributes.keys()
    if "from" not in given:
        if "name" not in given:
            raise element.error("<param> needs 'name' or 'from'")
        if "allow_substs" in given:
            raise element.error("'allow_substs' goes with 'from' only")
        document = {node_key: {"ros__parameters": _parameters([element], env)}}
        return InlineFile(yaml.safe_dump(document, sort_keys=False))
    if given - {"from", "allow_substs"} or element.children:
        raise element.error("<param from=...> takes nothing else but 'allow_substs'")
    path = Path(os.path.abspath(_attribute(element, "from", env)))
    if not path.is_file():
        raise element.error(f"parameter file {str(path)!r} does not exist")
    try:
        if not as_bool(_text(element, "allow_substs", env) or "false"):
            return str(path)
        return InlineFile(expand(parse_template(path.read_text()), env))
    except SubstitutionError as error:
        raise element.error(f"{path}: {error}") from error


def _parameters(elements: Sequence[Element], env: Environment) -> dict[str, Any]:
    """Nested parameters as nested dictionaries."""
    found: dict[str, Any] = {}
    for element in elements:
        name = _attribute(element, "name", env)
        nested = element.children
        value = element.attributes.get("value")
        if (value is None) == (not nested):
            raise element.error(f"parameter {name!r} needs either a 'value' or nested <param>s")
        if nested:
            if element.attributes.keys() & {"type", "value-sep"}:
                raise element.error(
                    f"parameter {name!r} has nested <param>s, so it takes no 'type' or 'value-sep'"
                )
            found[name] = _parameters(nested, env)
            continue
        assert value is not None
        kind, separator = element.attributes.get("type"), element.attributes.get("value-sep")
        try:
            found[name] = typed_value(value, env, kind, separator)
        except SubstitutionError as error:
            raise element.error(f"parameter {name!r}: {error}") from error
    return found


def _spec(
    element: Element,
    scope: Scope,
    env: Environment,
    after_s: float,
    name: str,
    command: Sequence[Word],
    full_name: str | None = None,
) -> ProcessSpec:
    def seconds(attribute: str, default: str) -> float:
        return float(number(_text(element, attribute, env) or default, float, attribute, minimum=0.0))

    def truth(attribute: str) -> bool:
        return as_bool(_text(element, attribute, env) or "false")

    environ = dict(scope.environ)
    for child in element.all("env"):
        environ[_attribute(child, "name", env)] = _attribute(child, "value", env)
    output = _text(element, "output", env) or "log"
    if output not in _OUTPUTS:
        raise SubstitutionError(f"output={output!r}; known: {', '.join(_OUTPUTS)}")
    on_exit = _text(element, "on_exit", env)
    if on_exit not in (None, "shutdown"):
        raise SubstitutionError(f"on_exit={on_exit!r}; the only action known is 'shutdown'")
    prefix = split_command(element.attributes.get("launch-prefix", ""), env)
    return ProcessSpec(
        name=name,
        command=(*prefix, *command),
        environ=environ,
        cwd=_text(element, "cwd", env),
        output=output,
        respawn=truth("respawn"),
        respawn_delay_s=seconds("respawn_delay", "0"),
        respawn_max_retries=number(
            _text(element, "respawn_max_retries", env) or "-1", int, "respawn_max_retries"
        ),
        on_exit_shutdown=on_exit is not None,
        sigterm_timeout_s=seconds("sigterm_timeout", "5"),
        sigkill_timeout_s=seconds("sigkill_timeout", "5"),
        shell=truth("shell"),
        emulate_tty=truth("emulate_tty"),
        after_s=after_s,
        node=full_name,
    )
