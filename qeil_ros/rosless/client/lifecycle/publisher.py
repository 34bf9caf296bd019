"""Publishers that follow the state of their node."""

from __future__ import annotations

from typing import Any

from ..publisher import Publisher
from .managed_entity import SimpleManagedEntity


class LifecyclePublisher(SimpleManagedEntity, Publisher[Any]):
    """Made by `LifecycleNode.create_lifecycle_publisher`: publishes while the node is active, else drops."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SimpleManagedEntity.__init__(self)
        Publisher.__init__(self, *args, **kwargs)

    @SimpleManagedEntity.when_enabled
    def publish(self, msg: Any) -> None:
        """See `Publisher.publish`."""
        Publisher.publish(self, msg)
