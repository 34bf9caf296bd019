"""Zenoh configurations of sessions and routers, from rmw_zenoh's environment variables.

    ROS_DOMAIN_ID                  0 where unset
    ZENOH_SESSION_CONFIG_URI,
    ZENOH_ROUTER_CONFIG_URI        path of a JSON5 file that replaces the defaults
    ZENOH_CONFIG_OVERRIDE          sessions only: "key=value;key=value", values in JSON5
    ZENOH_ROUTER_CHECK_ATTEMPTS    0: wait for a router for ever; n > 0: n seconds, then fail;
                                   n < 0: do not wait; unset: one second, then go on without

The defaults are rmw_zenoh's with five differences. The lease is 2 s, so that a peer which vanished without
closing its connection is noticed within 2.5 s rather than 75 s; 10 s for a session whose links cannot leave
this machine, where a process that dies closes them and signs of life only cost. A router, too, listens on
loopback unless told otherwise. Shared memory is on, as is Zenoh's own default: messages of 3 KiB and more do
not travel through sockets between processes of one machine. Opening does not wait for peers besides the
router. A lost router is looked for again every half second at least rather than every four: an answer that
the robot waits for is worth more than a packet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import zenoh

DEFAULT_ROUTER = "tcp/localhost:7447"
LEASE_MS = 2000
LOCAL_LEASE_MS = 10_000
_LEASE = "transport/link/tx/lease"
_QUERY_TIMEOUT_MS = 600_000
_MAX_DOMAIN_ID = 232
_LOOPBACK = re.compile(r"\w+/(localhost|127\.[\d.]+|\[::1\])(:|$)")

_COMMON = {
    "scouting/multicast/enabled": "false",
    "scouting/gossip/enabled": "true",
    "timestamping/enabled": "true",
    "queries_default_timeout": str(_QUERY_TIMEOUT_MS),
    _LEASE: str(LEASE_MS),
}
_SESSION = {
    "mode": '"peer"',
    "connect/endpoints": f'["{DEFAULT_ROUTER}"]',
    "listen/endpoints": '["tcp/localhost:0"]',
    "connect/retry": "{ period_init_ms: 100, period_max_ms: 500, period_increase_factor: 2 }",
    # The router is waited for after opening; the half second that Zenoh waits for peers adds nothing.
    "scouting/delay": "20",
}


class ConfigError(ValueError):
    """An environment variable or configuration file that cannot be used; the message names it."""


def domain_id(environ: Mapping[str, str]) -> int:
    """`ROS_DOMAIN_ID`, 0 where unset."""
    text = environ.get("ROS_DOMAIN_ID", "").strip() or "0"
    if not re.fullmatch(r"\d{1,3}", text) or int(text) > _MAX_DOMAIN_ID:
        raise ConfigError(f"ROS_DOMAIN_ID={text!r} must be a number from 0 to {_MAX_DOMAIN_ID}")
    return int(text)


def router_check_attempts(environ: Mapping[str, str]) -> int | None:
    """`ZENOH_ROUTER_CHECK_ATTEMPTS`, None where unset."""
    text = environ.get("ZENOH_ROUTER_CHECK_ATTEMPTS", "").strip()
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"ZENOH_ROUTER_CHECK_ATTEMPTS={text!r} must be a number") from None


def session_config(environ: Mapping[str, str]) -> zenoh.Config:
    """The configuration of a session."""
    config = _base(environ, "ZENOH_SESSION_CONFIG_URI", {**_SESSION, **_COMMON})
    by_file = bool(environ.get("ZENOH_SESSION_CONFIG_URI", "").strip())
    overrides = parse_override(environ.get("ZENOH_CONFIG_OVERRIDE", ""))
    for key, value in overrides:
        _insert(config, key, value, "ZENOH_CONFIG_OVERRIDE")
    if not by_file and _LEASE not in dict(overrides) and _stays_here(config):
        config.insert_json5(_LEASE, str(LOCAL_LEASE_MS))
    return config


def router_config(listen: str | None, path: str | None, environ: Mapping[str, str]) -> zenoh.Config:
    """The configuration of a router.

    Args:
        listen: endpoint; None keeps the file's, or `DEFAULT_ROUTER` without a file.
        path: JSON5 file; None takes `ZENOH_ROUTER_CONFIG_URI`, or the defaults without one.
    """
    variables = {**environ, "ZENOH_ROUTER_CONFIG_URI": path} if path else environ
    config = _base(
        variables,
        "ZENOH_ROUTER_CONFIG_URI",
        {"mode": '"router"', "listen/endpoints": f'["{DEFAULT_ROUTER}"]', **_COMMON},
    )
    if listen is not None:
        _insert(config, "listen/endpoints", f'["{listen}"]', "--listen")
    return config


def listen_endpoints(config: zenoh.Config) -> list[str]:
    """The endpoints that a session with this configuration listens on, as the configuration writes them."""
    return _endpoints(config, "listen")


def parse_override(text: str) -> list[tuple[str, str]]:
    """Splits "key=value;key=value" at the semicolons that are not inside of quotes."""
    pairs = []
    for part in re.findall(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^;"'])+""", text):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ConfigError(f"ZENOH_CONFIG_OVERRIDE: {part.strip()!r} is not key=value")
        pairs.append((key.strip(), value.strip()))
    return pairs


def _base(environ: Mapping[str, str], variable: str, defaults: Mapping[str, str]) -> zenoh.Config:
    path = environ.get(variable, "").strip()
    config: zenoh.Config
    if path:
        try:
            config = zenoh.Config.from_file(path)
        except Exception as error:
            raise ConfigError(f"{variable}={path!r}: {error}") from error
        return config
    config = zenoh.Config()
    for key, value in defaults.items():
        config.insert_json5(key, value)
    return config


def _endpoints(config: zenoh.Config, what: str) -> list[str]:
    endpoints = json.loads(config.get_json(f"{what}/endpoints"))
    if isinstance(endpoints, dict):  # one list for each mode
        endpoints = endpoints.get(json.loads(config.get_json("mode")), [])
    return [endpoints] if isinstance(endpoints, str) else list(endpoints)


def _stays_here(config: zenoh.Config) -> bool:
    """A peer (clients are for other machines) all of whose endpoints are on loopback."""
    if json.loads(config.get_json("mode")) != "peer":
        return False
    found = [*_endpoints(config, "connect"), *_endpoints(config, "listen")]
    return all(_LOOPBACK.match(endpoint) for endpoint in found)


def _insert(config: zenoh.Config, key: str, value: str, source: str) -> None:
    try:
        config.insert_json5(key, value)
    except Exception as error:
        raise ConfigError(f"{source}: {key}={value}: {error}") from error
