"""RIHS01 hashes against those that ROS 2 Jazzy and Lyrical publish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rosbags.typesys import Stores, get_typestore

from qeil_ros.rosless.types import TypeStore
from qeil_ros.rosless.types.hashes import rihs01
from qeil_ros.rosless.types.services import SERVICES
from qeil_ros.rosless.types.store import NO_HASH

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "rosless" / "hashes.json").read_text())
GOLDEN.pop("_source")


@pytest.fixture(scope="module")
def jazzy() -> TypeStore:
    return TypeStore("jazzy")


def _hash(store: TypeStore, name: str) -> str:
    if "/srv/" in name:
        return store.get_service(name).__type_info__.hash
    return store.message_info(name).hash


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_published_hashes(jazzy: TypeStore, name: str) -> None:
    assert _hash(jazzy, name) == GOLDEN[name]


def test_char_counts_as_uint8(jazzy: TypeStore) -> None:
    jazzy.register("uint8 data\n", "twin_msgs/msg/Char")
    twin = rihs01(jazzy.definition("twin_msgs/msg/Char"), jazzy.definition)
    jazzy.register("char data\n", "twin_msgs/msg/Twin")
    char = jazzy.definition("twin_msgs/msg/Twin")
    renamed = type(char)("twin_msgs/msg/Char", char.fields)
    assert rihs01(renamed, jazzy.definition) == twin


def test_every_standard_message_matches_rosbags_but_for_char(jazzy: TypeStore) -> None:
    oracle = get_typestore(Stores.ROS2_JAZZY)

    def has_char(name: str) -> bool:
        definition = jazzy.definition(name)
        return any(
            field.type.base == "char" or (field.type.is_nested and has_char(field.type.base))
            for field in definition.fields
        )

    compared = 0
    for name in oracle.fielddefs:
        if not has_char(name):
            assert jazzy.message_info(name).hash == oracle.hash_rihs01(name), name
            compared += 1
    assert compared > 140


def test_definitions_differ_between_distributions() -> None:
    lyrical = TypeStore("lyrical").message_info("lifecycle_msgs/msg/TransitionEvent").hash
    assert lyrical == "RIHS01_78b19e2be41a797fc009c96bda68944182edabec7852cccd928a40bc06f6f9d7"
    assert TypeStore("jazzy").message_info("lifecycle_msgs/msg/TransitionEvent").hash != lyrical


def test_humble_has_no_hashes() -> None:
    store = TypeStore("humble")
    assert store.message_info("std_msgs/msg/String").hash == NO_HASH == "TypeHashNotSupported"
    assert store.get_service("std_srvs/srv/Trigger").__type_info__.hash == NO_HASH


@pytest.mark.parametrize("distro", ["iron", "jazzy", "kilted", "lyrical", "rolling"])
def test_every_service_can_be_made(distro: str) -> None:
    store = TypeStore(distro)
    hashes = {_hash(store, name) for name in SERVICES}
    assert len(hashes) == len(SERVICES)
    assert all(len(item) == 71 for item in hashes)


def test_an_unknown_distribution_is_refused() -> None:
    with pytest.raises(
        ValueError, match="ROS_DISTRO='noetic' is not known; the installed rosbags has humble, iron, jazzy"
    ):
        TypeStore("noetic")


def test_wire_names(jazzy: TypeStore) -> None:
    info = jazzy.message_info("sensor_msgs/msg/Image")
    assert (info.name, info.dds_name) == ("sensor_msgs/msg/Image", "sensor_msgs::msg::dds_::Image_")
    assert jazzy.get_service("std_srvs/srv/Empty").__type_info__.dds_name == "std_srvs::srv::dds_::Empty_"
