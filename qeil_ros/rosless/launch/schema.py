"""Which tags a launch file may hold, and what each may carry. Checked for the whole file before anything is
done, also in branches that a condition leaves out: a misspelt attribute must not wait for the day it is
needed."""

from __future__ import annotations

from dataclasses import dataclass

from .substitutions import SubstitutionError, parse_template
from .xmltree import Element


@dataclass(frozen=True)
class Tag:
    """Attribute names and child tags. Attributes in `literal` are taken as they are, without
    substitutions."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    literal: tuple[str, ...] = ()


_CONDITIONS = ("if", "unless")
_PROCESS = (
    *("cwd", "name", "output", "respawn", "respawn_delay", "respawn_max_retries", "on_exit"),
    *("launch-prefix", "shell", "emulate_tty", "sigterm_timeout", "sigkill_timeout"),
)
_NODE = ("pkg", "namespace", "exec_name", "args", "ros_args", *_PROCESS)

ACTIONS: dict[str, Tag] = {
    "arg": Tag(("name",), ("default", "description"), ("choice",), literal=("name", "description")),
    "let": Tag(("name", "value")),
    "group": Tag((), ("scoped", "forwarding"), ("keep", "*")),
    "include": Tag(("file",), (), ("arg",)),
    "node": Tag(("exec",), _NODE, ("param", "remap", "env")),
    "executable": Tag(("cmd",), _PROCESS, ("env",)),
    "push-ros-namespace": Tag(("namespace",)),
    "push_ros_namespace": Tag(("namespace",)),
    "set_env": Tag(("name", "value")),
    "append_env": Tag(("name", "value"), ("prepend", "separator")),
    "unset_env": Tag(("name",)),
    "set_parameter": Tag(("name", "value")),
    "set_parameters_from_file": Tag(("filename",)),
    "set_remap": Tag(("from", "to")),
    "log": Tag(("message",)),
    "timer": Tag(("period",), ("cancel_on_shutdown",), ("*",)),
    "shutdown": Tag((), ("reason",)),
}

_DETAILS: dict[tuple[str, str], Tag] = {
    ("arg", "choice"): Tag(("value",), literal=("value",)),
    ("include", "arg"): Tag(("name", "value")),
    ("group", "keep"): Tag(("name", "value")),
    ("node", "env"): Tag(("name", "value")),
    ("node", "remap"): Tag(("from", "to")),
    ("node", "param"): Tag(
        (),
        ("name", "value", "value-sep", "type", "from", "allow_substs"),
        ("param",),
        literal=("type", "value-sep"),
    ),
    ("param", "param"): Tag(
        ("name",), ("value", "value-sep", "type"), ("param",), literal=("type", "value-sep")
    ),
    ("executable", "env"): Tag(("name", "value")),
}


def check(root: Element) -> None:
    """LaunchError with file and line for the first thing in the file that is not launch XML as read here."""
    if root.tag != "launch":
        raise root.error(f"the root element is <{root.tag}>, expected <launch>")
    unknown = set(root.attributes) - {"version", "deprecated"}
    if unknown:
        raise root.error(f"unknown attribute {min(unknown)!r} of <launch>")
    for child in root.children:
        _check_element(child, parent="launch")


def _check_element(element: Element, parent: str) -> None:
    detail = _DETAILS.get((parent, element.tag))
    if detail is None and element.tag not in ACTIONS:
        raise element.error(f"unknown tag <{element.tag}>; known: {', '.join(sorted(ACTIONS))}")
    tag = detail or ACTIONS[element.tag]
    conditions = () if detail else _CONDITIONS
    allowed = {*tag.required, *tag.optional, *conditions}
    for name, value in element.attributes.items():
        if name not in allowed:
            known = ", ".join([*tag.required, *tag.optional, *conditions])
            raise element.error(f"unknown attribute {name!r} of <{element.tag}>; known: {known}")
        if name not in tag.literal:
            try:
                parse_template(value)
            except SubstitutionError as error:
                raise element.error(f"attribute {name!r} of <{element.tag}>: {error}") from error
    for name in tag.required:
        if name not in element.attributes:
            raise element.error(f"<{element.tag}> needs the attribute {name!r}")
    if {"if", "unless"} <= element.attributes.keys():
        raise element.error(f"<{element.tag}> has both 'if' and 'unless'; give one of them")
    for child in element.children:
        if child.tag not in tag.children and not ("*" in tag.children and child.tag in ACTIONS):
            nested = f" inside <{element.tag}>" if child.tag in ACTIONS or tag.children != ("*",) else ""
            known = ", ".join(ACTIONS if "*" in tag.children else tag.children) or "none"
            raise child.error(f"unknown tag <{child.tag}>{nested}; known: {known}")
        _check_element(child, element.tag)
