"""The rules for names: validation, expansion to fully qualified names. Pure functions of strings.

The rules are those of https://design.ros2.org/articles/topic_and_service_names.html; messages point at the
character at fault.
"""

from __future__ import annotations

import re

from .exceptions import (
    InvalidNamespaceException,
    InvalidNodeNameException,
    InvalidServiceNameException,
    InvalidTopicNameException,
)

MAX_NAME_LENGTH = 255
# rmw leaves room for its prefixes in a topic's name.
MAX_TOPIC_LENGTH = 247

_Problem = tuple[str, int]
_SUBSTITUTION = re.compile(r"\{([^{}]*)\}")


def validate_node_name(name: str) -> bool:
    """True, or InvalidNodeNameException."""
    problem = _token_problem(name, "node name")
    if problem is None and len(name) > MAX_NAME_LENGTH:
        problem = (f"node name length should not exceed '{MAX_NAME_LENGTH}'", MAX_NAME_LENGTH)
    if problem:
        raise InvalidNodeNameException(name, *problem)
    return True


def validate_namespace(namespace: str) -> bool:
    """True for an absolute namespace, or InvalidNamespaceException."""
    problem = None if namespace == "/" else _absolute_problem(namespace, "namespace")
    if problem is None and len(namespace) > MAX_TOPIC_LENGTH - 2:
        problem = (f"namespace length should not exceed '{MAX_TOPIC_LENGTH - 2}'", MAX_TOPIC_LENGTH - 3)
    if problem:
        raise InvalidNamespaceException(namespace, *problem)
    return True


def validate_full_topic_name(name: str, *, is_service: bool = False) -> bool:
    """True for a fully qualified name, or an exception for the kind of name."""
    problem = _absolute_problem(name, "topic name")
    if problem is None and len(name) > MAX_TOPIC_LENGTH:
        problem = (f"topic name length should not exceed '{MAX_TOPIC_LENGTH}'", MAX_TOPIC_LENGTH)
    if problem:
        raise (InvalidServiceNameException if is_service else InvalidTopicNameException)(name, *problem)
    return True


def validate_topic_name(name: str, *, is_service: bool = False) -> bool:
    """True for a name that can be expanded (relative, private, absolute, with substitutions), or an
    exception."""
    problem = _topic_problem(name)
    if problem:
        raise (InvalidServiceNameException if is_service else InvalidTopicNameException)(name, *problem)
    return True


def expand_topic_name(topic_name: str, node_name: str, node_namespace: str) -> str:
    """`chatter`, `~/chatter`, `{node}/chatter` or `/chatter` as a fully qualified name.

    :raises ValueError: when the result would not be a name (the caller validates for a better message).
    """
    namespace = node_namespace.rstrip("/")
    name = topic_name
    if name.startswith("~"):
        name = f"{namespace}/{node_name}{name[1:]}"
    values = {"node": node_name, "ns": node_namespace, "namespace": node_namespace}

    def substitute(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ValueError(
                f"unknown substitution '{match[0]}' in topic name '{topic_name}'; known: {sorted(values)}"
            )
        return values[match[1]]

    name = _SUBSTITUTION.sub(substitute, name)
    if not name.startswith("/"):
        name = f"{namespace}/{name}"
    return name.replace("//", "/")


def resolve(name: str, node_name: str, node_namespace: str, *, is_service: bool = False) -> str:
    """Validates and expands in one go; without remapping."""
    validate_topic_name(name, is_service=is_service)
    try:
        expanded = expand_topic_name(name, node_name, node_namespace)
    except ValueError as error:
        kind = InvalidServiceNameException if is_service else InvalidTopicNameException
        raise kind(name, str(error), name.index("{")) from None
    validate_full_topic_name(expanded, is_service=is_service)
    return expanded


def absolute_namespace(namespace: str) -> str:
    """The namespace a node is given, as rcl reads it: empty is the root, and the leading slash may be left
    out."""
    return namespace if namespace.startswith("/") else f"/{namespace}"


def join(namespace: str, name: str) -> str:
    """A node's fully qualified name."""
    return f"{namespace.rstrip('/')}/{name}"


def _token_problem(token: str, what: str) -> _Problem | None:
    if not token:
        return f"{what} must not be empty", 0
    bad = re.search(r"[^A-Za-z0-9_]", token)
    if bad:
        return f"{what} must not contain characters other than alphanumerics or '_'", bad.start()
    if token[0].isdigit():
        return f"{what} must not start with a number", 0
    return None


def _absolute_problem(name: str, what: str) -> _Problem | None:
    if not name:
        return f"{what} must not be empty", 0
    if not name.startswith("/"):
        return f"{what} must be absolute, it must lead with a '/'", 0
    if name.endswith("/"):
        return f"{what} must not end with a '/'", len(name) - 1
    bad = re.search(r"[^A-Za-z0-9_/]", name)
    if bad:
        return f"{what} must not contain characters other than alphanumerics, '_', or '/'", bad.start()
    repeated = name.find("//")
    if repeated >= 0:
        return f"{what} must not contain repeated '/'", repeated + 1
    digit = re.search(r"/[0-9]", name)
    if digit:
        return f"{what} must not have a token that starts with a number", digit.end() - 1
    return None


def _topic_problem(name: str) -> _Problem | None:
    what = "topic name"
    if not name:
        return f"{what} must not be empty", 0
    if name[0].isdigit():
        return f"{what} must not begin with a number", 0
    if name.endswith("/"):
        return f"{what} must not end with a forward slash", len(name) - 1
    if "~" in name[1:]:
        return f"{what} has '~' not as its first character", name.index("~", 1)
    if name.startswith("~") and len(name) > 1 and name[1] != "/":
        return f"{what} has '~' that is not followed by a forward slash", 1
    plain = _SUBSTITUTION.sub(lambda match: "_" * len(match[0]), name)
    for brace in "{}":
        if brace in plain:
            return f"{what} has unbalanced curly braces", plain.index(brace)
    for match in _SUBSTITUTION.finditer(name):
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", match[1]):
            return f"{what} has a substitution with an unallowed character", match.start(1)
    bad = re.search(r"[^A-Za-z0-9_/~]", plain)
    if bad:
        return (
            f"{what} must not contain characters other than alphanumerics, '_', '~', '{{', or '}}'",
            bad.start(),
        )
    repeated = name.find("//")
    if repeated >= 0:
        return f"{what} must not contain repeated '/'", repeated + 1
    digit = re.search(r"/[0-9]", name)
    if digit:
        return f"{what} must not have a token that starts with a number", digit.end() - 1
    return None
