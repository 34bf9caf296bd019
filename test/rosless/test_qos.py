"""Quality of service profiles, as rclpy has them."""

from __future__ import annotations

import pytest

from qeil_ros.rosless.client.duration import Duration
from qeil_ros.rosless.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    InvalidQoSProfileException,
    LivelinessPolicy,
    QoSCompatibility,
    QoSPolicyKind,
    QoSPresetProfiles,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_policy_name_from_kind,
    qos_profile_sensor_data,
    qos_profile_services_default,
)


def test_defaults() -> None:
    qos = QoSProfile(depth=5)
    assert (qos.history, qos.depth) == (HistoryPolicy.KEEP_LAST, 5)
    assert (qos.reliability, qos.durability) == (ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
    assert qos.lifespan == qos.deadline == Duration()


@pytest.mark.parametrize("policies", [{}, {"history": HistoryPolicy.KEEP_LAST}, {"reliability": 1}])
def test_incomplete_profiles_are_refused(policies: dict[str, int]) -> None:
    with pytest.raises(InvalidQoSProfileException):
        QoSProfile(**policies)


def test_wrong_policies_are_refused() -> None:
    with pytest.raises(AssertionError):
        QoSProfile(depth=1, durabilty=1)
    with pytest.raises(AssertionError):
        QoSProfile(depth=1.5)
    with pytest.raises(ValueError, match="9 is not a valid"):
        QoSProfile(depth=1, reliability=9)
    with pytest.raises(AssertionError):
        QoSProfile(depth=1, lifespan=3)


def test_keep_all_needs_no_depth() -> None:
    assert QoSProfile(history=HistoryPolicy.KEEP_ALL).depth == 10


def test_a_depth_of_zero_warns() -> None:
    with pytest.warns(UserWarning, match="zero depth"):
        QoSProfile(depth=0)


def test_presets() -> None:
    assert QoSPresetProfiles.SENSOR_DATA.value is qos_profile_sensor_data
    assert QoSPresetProfiles.get_from_short_key("services_default") == qos_profile_services_default
    assert qos_profile_sensor_data.reliability.short_key == "best_effort"
    assert ReliabilityPolicy.get_from_short_key("best_effort") == 2
    assert "transient_local" in DurabilityPolicy.short_keys()
    assert qos_policy_name_from_kind(QoSPolicyKind.RELIABILITY) == "RELIABILITY"


def test_equality() -> None:
    assert QoSProfile(depth=1) == QoSProfile(depth=1) != QoSProfile(depth=2)
    late = QoSProfile(depth=1, deadline=Duration(seconds=1))
    assert late != QoSProfile(depth=1)
    assert late.deadline.nanoseconds == 10**9


@pytest.mark.parametrize(
    ("publisher", "subscription", "expected", "reason"),
    [
        ({}, {}, QoSCompatibility.OK, ""),
        ({"reliability": 2}, {"reliability": 1}, QoSCompatibility.ERROR, "reliability"),
        ({"reliability": 1}, {"reliability": 2}, QoSCompatibility.OK, ""),
        ({"durability": 2}, {"durability": 1}, QoSCompatibility.ERROR, "durability"),
        ({"reliability": 0}, {"reliability": 1}, QoSCompatibility.WARNING, "reliability"),
        ({"liveliness": LivelinessPolicy.AUTOMATIC}, {"liveliness": 3}, QoSCompatibility.ERROR, "liveliness"),
        ({}, {"deadline": Duration(seconds=1)}, QoSCompatibility.ERROR, "deadline"),
        ({"deadline": Duration(seconds=1)}, {"deadline": Duration(seconds=2)}, QoSCompatibility.OK, ""),
    ],
)
def test_compatibility(
    publisher: dict[str, int], subscription: dict[str, int], expected: QoSCompatibility, reason: str
) -> None:
    answer, text = qos_check_compatible(QoSProfile(depth=1, **publisher), QoSProfile(depth=1, **subscription))
    assert answer == expected
    assert reason in text
