"""An independent speaker of rmw_zenoh's protocol, driven over stdin and stdout by `test_peer`.

Runs in a process and a HOME of its own: the package keeps a cache there and edits git's global configuration.
Reads one JSON object per line, answers with one per line.
"""

from __future__ import annotations

import json
import queue
import sys
from typing import Any

import zenoh_ros2_sdk as sdk

DEFINITIONS = {
    "std_msgs/msg/String": "string data\n",
    "sensor_msgs/msg/Temperature": None,
}
REQUEST, RESPONSE = "int64 a\nint64 b\n", "int64 sum\n"


def main() -> None:
    where: dict[str, Any] = {"router_ip": "127.0.0.1", "router_port": int(sys.argv[1])}
    received: queue.Queue[Any] = queue.Queue()
    kept: dict[str, Any] = {}

    def on_message(message: Any) -> None:
        received.put(message.data)

    def add(request: Any) -> Any:
        return kept["server"].response_msg_class(sum=request.a + request.b)

    for line in sys.stdin:
        order = json.loads(line)
        action, name = order["do"], order.get("name", "")
        answer: Any = None
        if action == "publisher":
            kept[name] = sdk.ROS2Publisher(
                name, "std_msgs/msg/String", "string data\n", "peer_talker", **where
            )
            answer = kept[name].type_hash
        elif action == "publish":
            kept[name].publish(data=order["data"])
        elif action == "subscriber":
            kept[name] = sdk.ROS2Subscriber(
                name, "std_msgs/msg/String", on_message, "string data\n", "peer_listener", **where
            )
            answer = kept[name].type_hash
        elif action == "take":
            try:
                answer = received.get(timeout=order["timeout_s"])
            except queue.Empty:
                answer = None
        elif action in ("server", "client"):
            kind = sdk.ROS2ServiceServer if action == "server" else sdk.ROS2ServiceClient
            options: dict[str, Any] = {"callback": add} if action == "server" else {"timeout": 20.0}
            kept[action] = kind(
                name,
                "example_interfaces/srv/AddTwoInts",
                request_definition=REQUEST,
                response_definition=RESPONSE,
                type_hash=order["hash"],
                **options,
                **where,
            )
        elif action == "call":
            response = kept["client"].call(a=order["a"], b=order["b"])
            answer = None if response is None else int(response.sum)
        elif action == "topics":
            answer = dict(sdk.get_topic_names_and_types(**where))
        elif action == "services":
            answer = dict(sdk.get_service_names_and_types(**where))
        else:
            raise ValueError(f"unknown order {order!r}")
        print("answer " + json.dumps(answer), flush=True)


main()
