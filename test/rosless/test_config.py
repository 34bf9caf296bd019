"""Configurations from environment variables and files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qeil_ros.rosless import config


def test_domain_ids() -> None:
    assert config.domain_id({}) == 0
    assert config.domain_id({"ROS_DOMAIN_ID": "42"}) == 42
    for bad in ("-1", "233", "x", "1.5"):
        with pytest.raises(config.ConfigError, match=f"ROS_DOMAIN_ID='{bad}'"):
            config.domain_id({"ROS_DOMAIN_ID": bad})


def test_overrides() -> None:
    assert config.parse_override('mode="client"; connect/endpoints=["tcp/a:1;x", "b"];;') == [
        ("mode", '"client"'),
        ("connect/endpoints", '["tcp/a:1;x", "b"]'),
    ]
    for bad in ("mode", "=3", "mode="):
        with pytest.raises(config.ConfigError, match="is not key=value"):
            config.parse_override(bad)
    settings = config.session_config({"ZENOH_CONFIG_OVERRIDE": "transport/link/tx/lease=5000"})
    assert settings.get_json("transport/link/tx/lease") == "5000"
    with pytest.raises(config.ConfigError, match="no/such/key=1"):
        config.session_config({"ZENOH_CONFIG_OVERRIDE": "no/such/key=1"})


def test_defaults_stay_on_this_machine() -> None:
    for settings in (config.session_config({}), config.router_config(None, None, {})):
        assert "tcp/localhost:" in settings.get_json("listen/endpoints")
        assert settings.get_json("scouting/multicast/enabled") == "false"


def test_a_link_that_can_go_silent_has_a_short_lease() -> None:
    def lease(override: str) -> str:
        settings = config.session_config({"ZENOH_CONFIG_OVERRIDE": override})
        return str(settings.get_json("transport/link/tx/lease"))

    assert config.router_config(None, None, {}).get_json("transport/link/tx/lease") == "2000"
    assert lease("") == lease('connect/endpoints=["tcp/127.0.0.1:7000"]') == "10000"
    assert lease('connect/endpoints=["tcp/robot.local:7447"]') == "2000"
    assert lease('listen/endpoints=["tcp/0.0.0.0:0"]') == "2000"
    assert lease('mode="client";connect/endpoints=["tcp/localhost:7447"]') == "2000"


def test_a_lost_router_is_looked_for_often() -> None:
    assert json.loads(config.session_config({}).get_json("connect/retry"))["period_max_ms"] == 500


def test_configuration_files(tmp_path: Any) -> None:
    path = tmp_path / "session.json5"
    path.write_text('{mode: "client", connect: {endpoints: ["tcp/robot:7447"]}}')
    settings = config.session_config(
        {"ZENOH_SESSION_CONFIG_URI": str(path), "ZENOH_CONFIG_OVERRIDE": "listen/endpoints=[]"}
    )
    assert settings.get_json("mode") == '"client"'
    assert "tcp/robot:7447" in settings.get_json("connect/endpoints")
    with pytest.raises(config.ConfigError, match="ZENOH_SESSION_CONFIG_URI='/no/such'"):
        config.session_config({"ZENOH_SESSION_CONFIG_URI": "/no/such"})


def test_a_router_tells_where_it_listens(tmp_path: Any) -> None:
    def told(text: str) -> list[str]:
        path = tmp_path / "router.json5"
        path.write_text(text)
        return config.listen_endpoints(config.router_config(None, str(path), {}))

    assert config.listen_endpoints(config.router_config(None, None, {})) == [config.DEFAULT_ROUTER]
    assert config.listen_endpoints(config.router_config("tcp/10.0.0.1:1", None, {})) == ["tcp/10.0.0.1:1"]
    assert told('{mode: "router", listen: {endpoints: ["tcp/10.0.0.1:2"]}}') == ["tcp/10.0.0.1:2"]
    by_mode = '{mode: "router", listen: {endpoints: {router: ["tcp/10.0.0.1:3"], peer: ["tcp/10.0.0.1:4"]}}}'
    assert told(by_mode) == ["tcp/10.0.0.1:3"]
