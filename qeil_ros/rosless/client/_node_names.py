"""What a node is called, and what names and parameters its arguments give it."""

from __future__ import annotations

from . import _names
from ._arguments import Arguments, remap_name
from .parameter import Parameter


class NodeNames:
    """The part of `Node` about names."""

    _name: str
    _namespace: str
    # In the order of precedence: the node's own, then those of the process.
    _arguments: list[Arguments]

    def get_name(self) -> str:
        return self._name

    def get_namespace(self) -> str:
        return self._namespace

    def get_fully_qualified_name(self) -> str:
        return _names.join(self._namespace, self._name)

    def resolve_topic_name(self, topic: str, *, only_expand: bool = False) -> str:
        """The fully qualified name that a topic's name stands for in this node, after remapping."""
        return self._resolve(topic, is_service=False, only_expand=only_expand)

    def resolve_service_name(self, service: str, *, only_expand: bool = False) -> str:
        """The fully qualified name that a service's name stands for in this node, after remapping."""
        return self._resolve(service, is_service=True, only_expand=only_expand)

    def _resolve(self, name: str, *, is_service: bool, only_expand: bool) -> str:
        expanded = _names.resolve(name, self._name, self._namespace, is_service=is_service)
        if only_expand:
            return expanded
        return remap_name(expanded, self._name, self._namespace, self._arguments, is_service=is_service)

    def _collect_overrides(self, own: list[Parameter]) -> dict[str, Parameter]:
        overrides: dict[str, Parameter] = {}
        for arguments in reversed(self._arguments):
            for name, value in arguments.parameters_for(self.get_fully_qualified_name()).items():
                overrides[name] = Parameter(name, value=value)
        overrides.update({parameter.name: parameter for parameter in own})
        return overrides

    def _enclave(self) -> str:
        return next((arguments.enclave for arguments in self._arguments if arguments.enclave), "/")
