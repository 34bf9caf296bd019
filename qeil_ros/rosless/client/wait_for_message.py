"""One message, without a callback."""

from __future__ import annotations

import time
from typing import Any

from ._wakeup import Wakeup
from .callback_groups import ReentrantCallbackGroup
from .event_handler import SubscriptionEventCallbacks
from .node import Node
from .qos import QoSProfile


def wait_for_message(
    msg_type: Any,
    node: Node,
    topic: str,
    *,
    qos_profile: QoSProfile | int = 1,
    time_to_wait: float = -1,
) -> tuple[bool, Any]:
    """Blocks until a message arrives; the node need not be spinning.

    :param time_to_wait: seconds, negative for ever.
    :return: `(True, message)`, or `(False, None)` when the time was over, or the context shut down, before.
    """
    wakeup = Wakeup()
    subscription = node._make_subscription(
        msg_type,
        topic,
        lambda message: None,
        qos_profile,
        ReentrantCallbackGroup(),
        event_callbacks=SubscriptionEventCallbacks(),
        wake=wakeup.set,
    )
    node.context._add_waker(wakeup.set)
    end = None if time_to_wait < 0 else time.monotonic() + time_to_wait
    try:
        while node.context.ok():
            sample = subscription._pop()
            if sample is not None:
                found, message = subscription._read(sample)
                if found:
                    return True, message
                continue
            remaining_s = None if end is None else end - time.monotonic()
            if remaining_s is not None and remaining_s <= 0:
                break
            wakeup.wait(remaining_s)
        return False, None
    finally:
        node.context._remove_waker(wakeup.set)
        subscription.destroy()
