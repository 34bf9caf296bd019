"""QoS profiles from command-line options, from the publishers of a topic, and in words."""

from __future__ import annotations

from typing import Any

import typer

from .errors import CliError

Profile = typer.Option(
    None, "--qos-profile", help="A preset: sensor_data, system_default, services_default, ..."
)
Depth = typer.Option(None, "--qos-depth", min=0, help="Queue depth.")
Reliability = typer.Option(None, "--qos-reliability", help="reliable or best_effort.")
Durability = typer.Option(None, "--qos-durability", help="volatile or transient_local.")


def choose(
    endpoints: list[Any],
    profile: str | None = None,
    depth: int | None = None,
    reliability: str | None = None,
    durability: str | None = None,
) -> Any:
    """What was asked for; for the rest, the strongest profile that matches all of `endpoints`.

    CliError for an unknown preset or policy.
    """
    from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPresetProfiles, QoSProfile, ReliabilityPolicy

    if profile is not None:
        try:
            chosen = QoSPresetProfiles.get_from_short_key(profile)
        except KeyError as error:
            raise CliError(f"unknown QoS preset {profile!r}") from error
    else:
        offered = [endpoint.qos_profile for endpoint in endpoints]
        best_effort = any(qos.reliability == ReliabilityPolicy.BEST_EFFORT for qos in offered)
        latched = bool(offered) and all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
        chosen = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=10,
            reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
    return QoSProfile(
        history=chosen.history,
        depth=chosen.depth if depth is None else depth,
        reliability=chosen.reliability if reliability is None else _policy(ReliabilityPolicy, reliability),
        durability=chosen.durability if durability is None else _policy(DurabilityPolicy, durability),
    )


def _policy(kind: Any, name: str) -> Any:
    try:
        return kind.get_from_short_key(name)
    except KeyError as error:
        raise CliError(f"unknown {kind.__name__} {name!r}") from error


def in_words(profile: Any) -> dict[str, Any]:
    """A profile as names and numbers; durations in seconds, None for infinite."""
    return {
        "reliability": profile.reliability.name,
        "history": profile.history.name,
        "depth": profile.depth,
        "durability": profile.durability.name,
        "lifespan_s": _seconds(profile.lifespan),
        "deadline_s": _seconds(profile.deadline),
        "liveliness": profile.liveliness.name,
        "liveliness_lease_s": _seconds(profile.liveliness_lease_duration),
    }


def _seconds(duration: Any) -> float | None:
    nanoseconds = duration.nanoseconds
    return None if nanoseconds == 0 or nanoseconds >= 2**63 - 1 else nanoseconds * 1e-9
