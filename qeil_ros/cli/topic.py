"""`qeil topic`: list, type, info, pub. What watches a topic (echo, hz, bw) is in `topic_watch`."""

from __future__ import annotations

import time
from typing import Any

import typer

from . import messages, qos, ros, topic_watch
from .errors import CliError


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="List, print, measure and publish topics.")
    group.command("list")(list_topics)
    group.command("info")(info)
    group.command("type")(topic_type)
    group.command("pub")(publish)
    topic_watch.register(group)
    app.add_typer(group, name="topic")


def list_topics(
    show_types: bool = typer.Option(False, "--show-types", "-t", help="Print the types too."),
    count: bool = typer.Option(False, "--count-topics", "-c", help="Print only how many there are."),
    show_all: bool = ros.ShowAll,
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print the names of the topics in the graph.

    Example: qeil topic list -t
    """
    with ros.graph_node(spin_time) as node:
        topics = sorted((name, sorted(types)) for name, types in node.get_topic_names_and_types())
    topics = [entry for entry in topics if show_all or not ros.hidden(entry[0])]
    if json:
        ros.print_json(dict(topics))
    elif count:
        print(len(topics))
    else:
        for name, types in topics:
            print(f"{name} [{', '.join(types)}]" if show_types else name)


def topic_type(name: str = typer.Argument(..., help="Topic name."), spin_time: float = ros.SpinTime) -> None:
    """Print the type of a topic.

    Example: qeil topic type /features
    """
    with ros.graph_node(spin_time) as node:
        types = dict(node.get_topic_names_and_types()).get(ros.absolute(name))
    if not types:
        raise CliError(f"no topic {ros.absolute(name)!r} in the graph", exit_code=1)
    for kind in types:
        print(kind)


def info(
    name: str = typer.Argument(..., help="Topic name."),
    verbose: bool = typer.Option(
        False, "--verbose", "-v", help="Print every publisher and subscription with its QoS."
    ),
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print who publishes and who subscribes to a topic.

    Example: qeil topic info /features --verbose
    """
    topic = ros.absolute(name)
    with ros.graph_node(spin_time) as node:
        types = dict(node.get_topic_names_and_types()).get(topic)
        if not types:
            raise CliError(f"no topic {topic!r} in the graph", exit_code=1)
        publishers = [_endpoint(entry) for entry in node.get_publishers_info_by_topic(topic)]
        subscriptions = [_endpoint(entry) for entry in node.get_subscriptions_info_by_topic(topic)]
    if json:
        ros.print_json(
            {"topic": topic, "types": types, "publishers": publishers, "subscriptions": subscriptions}
        )
        return
    print(f"Type: {types[0] if len(types) == 1 else types}\n")
    for title, endpoints in (("Publisher", publishers), ("Subscription", subscriptions)):
        print(f"{title} count: {len(endpoints)}\n")
        for endpoint in endpoints if verbose else []:
            _print_endpoint(title, endpoint)


def _endpoint(entry: Any) -> dict[str, Any]:
    type_hash = getattr(entry, "topic_type_hash", None)
    return {
        "node": entry.node_name,
        "namespace": entry.node_namespace,
        "type": entry.topic_type,
        "type_hash": None if type_hash is None else str(type_hash),
        "gid": ".".join(f"{byte:02x}" for byte in bytes(entry.endpoint_gid)),
        "qos": qos.in_words(entry.qos_profile),
    }


def _print_endpoint(title: str, endpoint: dict[str, Any]) -> None:
    print(f"Node name: {endpoint['node']}")
    print(f"Node namespace: {endpoint['namespace']}")
    print(f"Topic type: {endpoint['type']}")
    print(f"Topic type hash: {endpoint['type_hash'] or 'unknown'}")
    print(f"Endpoint type: {title.upper()}")
    print(f"GID: {endpoint['gid']}")
    profile = endpoint["qos"]
    print("QoS profile:")
    print(f"  Reliability: {profile['reliability']}")
    print(f"  History (Depth): {profile['history']} ({profile['depth']})")
    print(f"  Durability: {profile['durability']}")
    for label, key in (("Lifespan", "lifespan_s"), ("Deadline", "deadline_s")):
        print(f"  {label}: {'Infinite' if profile[key] is None else profile[key]}")
    print(f"  Liveliness: {profile['liveliness']}")
    lease = profile["liveliness_lease_s"]
    print(f"  Liveliness lease duration: {'Infinite' if lease is None else lease}\n")


def publish(
    name: str = typer.Argument(..., help="Topic name."),
    kind: str = typer.Argument(..., metavar="TYPE", help="Message type, package/msg/Name."),
    values: str = typer.Argument(
        "", help="Fields, as YAML; 'now' for a time and 'auto' for a header are the time."
    ),
    rate: float = typer.Option(1.0, "--rate", "-r", min=0.001, help="Messages a second."),
    once: bool = typer.Option(False, "--once", "-1", help="Publish one message and exit."),
    times: int = typer.Option(0, "--times", "-t", min=0, help="Publish this many messages and exit."),
    wait_matching: int = typer.Option(
        None,
        "--wait-matching-subscriptions",
        "-w",
        min=0,
        help="Subscriptions to wait for; 1 with --once or --times.",
    ),
    max_wait: float = typer.Option(
        None, "--max-wait-time-secs", min=0.0, help="Seconds to wait for them at most."
    ),
    keep_alive: float = typer.Option(
        0.1, "--keep-alive", min=0.0, help="Seconds to stay after the last message."
    ),
    print_every: int = typer.Option(1, "--print", "-p", min=0, help="Print every N-th message; 0: none."),
    profile: str = qos.Profile,
    depth: int = qos.Depth,
    reliability: str = qos.Reliability,
    durability: str = qos.Durability,
) -> None:
    """Publish a message, once or at a rate.

    Example: qeil topic pub --once /chatter std_msgs/msg/String "{data: hello}"
    """
    cls = ros.load_interface(kind)
    if hasattr(cls, "Request"):
        raise CliError(f"{kind!r} is a service type, not a message type")
    fields = messages.parse_values(values)
    message = messages.fill(cls(), fields)
    limit = 1 if once else times
    wanted = wait_matching if wait_matching is not None else min(limit, 1)
    with ros.graph_node(settled=False) as node:
        now = node.get_clock().now
        stamped = "now" in values or "auto" in values
        if stamped:
            messages.fill(message, fields, now().to_msg())
        publisher = node.create_publisher(
            cls, ros.absolute(name), qos.choose([], profile, depth, reliability, durability)
        )
        if not ros.wait_for(lambda: publisher.get_subscription_count() >= wanted, max_wait or 1e9):
            raise CliError(f"fewer than {wanted} subscription(s) after {max_wait:g} s", exit_code=1)
        print("publisher: beginning loop", flush=True)
        start = time.monotonic()
        number = 0
        while not limit or number < limit:
            if stamped:
                messages.fill(message, fields, now().to_msg())
            number += 1
            publisher.publish(message)
            if print_every and number % print_every == 0:
                print(f"publishing #{number}: {message!r}\n", flush=True)
            if not limit or number < limit:
                time.sleep(max(0.0, start + number / rate - time.monotonic()))
        time.sleep(keep_alive)
