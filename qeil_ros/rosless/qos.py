"""Quality of service, named and valued as in `rclpy.qos` (enumeration values are those of rmw/types.h).

Durations are kept in nanoseconds and given out as `rclpy.duration.Duration`; 0 means unspecified, which
rmw_zenoh treats as infinite.
"""

from __future__ import annotations

import warnings
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client.duration import Duration

#: rmw's "infinite": the longest duration of int64 nanoseconds.
INFINITE_NS = 2**63 - 1
#: What rmw_zenoh makes of a depth of 0.
DEFAULT_DEPTH = 42


class QoSPolicyKind(IntEnum):
    """The policies a profile consists of, as bits."""

    INVALID = 1 << 0
    DURABILITY = 1 << 1
    DEADLINE = 1 << 2
    LIVELINESS = 1 << 3
    RELIABILITY = 1 << 4
    HISTORY = 1 << 5
    LIFESPAN = 1 << 6
    DEPTH = 1 << 7
    LIVELINESS_LEASE_DURATION = 1 << 8
    AVOID_ROS_NAMESPACE_CONVENTIONS = 1 << 9


def qos_policy_name_from_kind(policy_kind: QoSPolicyKind | int) -> str:
    return QoSPolicyKind(policy_kind).name


class InvalidQoSProfileException(Exception):
    """A profile that cannot be: neither history nor depth, or keep-last without a depth."""

    def __init__(self, *args: Any) -> None:
        super().__init__("Invalid QoSProfile", *args)


class QoSPolicyEnum(IntEnum):
    """Base of the policies: values can be looked up by their short names, as command lines write them."""

    @classmethod
    def short_keys(cls) -> list[str]:
        return [name.lower() for name in cls.__members__]

    @classmethod
    def get_from_short_key(cls, name: str) -> int:
        return cls[name.upper()].value

    @property
    def short_key(self) -> str:
        return self.name.lower()


class HistoryPolicy(QoSPolicyEnum):
    """How many samples are kept for a reader that is behind."""

    SYSTEM_DEFAULT = 0
    KEEP_LAST = 1
    KEEP_ALL = 2
    UNKNOWN = 3


class ReliabilityPolicy(QoSPolicyEnum):
    """Whether lost samples are sent again."""

    SYSTEM_DEFAULT = 0
    RELIABLE = 1
    BEST_EFFORT = 2
    UNKNOWN = 3
    BEST_AVAILABLE = 4


class DurabilityPolicy(QoSPolicyEnum):
    """Whether late subscriptions get what was published before them."""

    SYSTEM_DEFAULT = 0
    TRANSIENT_LOCAL = 1
    VOLATILE = 2
    UNKNOWN = 3
    BEST_AVAILABLE = 4


class LivelinessPolicy(QoSPolicyEnum):
    """How a publisher shows that it is alive."""

    SYSTEM_DEFAULT = 0
    AUTOMATIC = 1
    MANUAL_BY_TOPIC = 3
    UNKNOWN = 4
    BEST_AVAILABLE = 5


QoSHistoryPolicy = HistoryPolicy
QoSReliabilityPolicy = ReliabilityPolicy
QoSDurabilityPolicy = DurabilityPolicy
QoSLivelinessPolicy = LivelinessPolicy


class _DurationPolicy:
    """A duration of the profile: stored in nanoseconds, seen as a `Duration`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._slot = f"_{name}_ns"

    def __get__(self, profile: Any, owner: type | None = None) -> Any:
        if profile is None:
            return self
        from .client.duration import Duration

        return Duration(nanoseconds=getattr(profile, self._slot))

    def __set__(self, profile: Any, value: Duration) -> None:
        from .client.duration import Duration

        assert isinstance(value, Duration), f"{self._slot[1:-3]} must be a Duration, not {value!r}"
        setattr(profile, self._slot, value.nanoseconds)


class _EnumPolicy:
    """A policy of the profile, checked on assignment."""

    def __init__(self, kind: type[QoSPolicyEnum]) -> None:
        self._kind = kind

    def __set_name__(self, owner: type, name: str) -> None:
        self._slot = "_" + name

    def __get__(self, profile: Any, owner: type | None = None) -> Any:
        return self if profile is None else getattr(profile, self._slot)

    def __set__(self, profile: Any, value: int) -> None:
        assert isinstance(value, int), f"{self._slot[1:]} must be a {self._kind.__name__}, not {value!r}"
        setattr(profile, self._slot, self._kind(value))


class QoSProfile:
    """The policies of one endpoint. At least `depth` or `history` has to be given."""

    __slots__ = (
        "_avoid_ros_namespace_conventions",
        "_deadline_ns",
        "_depth",
        "_durability",
        "_history",
        "_lifespan_ns",
        "_liveliness",
        "_liveliness_lease_duration_ns",
        "_reliability",
    )
    _history: HistoryPolicy
    _depth: int
    _deadline_ns: int
    _lifespan_ns: int
    _liveliness_lease_duration_ns: int

    history = _EnumPolicy(HistoryPolicy)
    reliability = _EnumPolicy(ReliabilityPolicy)
    durability = _EnumPolicy(DurabilityPolicy)
    liveliness = _EnumPolicy(LivelinessPolicy)
    deadline = _DurationPolicy()
    lifespan = _DurationPolicy()
    liveliness_lease_duration = _DurationPolicy()

    def __init__(self, **policies: Any) -> None:
        unknown = policies.keys() - set(_POLICIES)
        assert not unknown, f"Invalid arguments passed to constructor: {sorted(unknown)}"
        if "history" not in policies:
            if "depth" not in policies:
                raise InvalidQoSProfileException("History and/or depth settings are required.")
            policies["history"] = HistoryPolicy.KEEP_LAST
        if policies["history"] == HistoryPolicy.KEEP_LAST and "depth" not in policies:
            raise InvalidQoSProfileException("History set to KEEP_LAST without a depth setting.")
        self._deadline_ns = self._lifespan_ns = self._liveliness_lease_duration_ns = 0
        self.history = policies["history"]
        self.depth = policies.get("depth", 10)
        self.reliability = policies.get("reliability", ReliabilityPolicy.RELIABLE)
        self.durability = policies.get("durability", DurabilityPolicy.VOLATILE)
        self.liveliness = policies.get("liveliness", LivelinessPolicy.SYSTEM_DEFAULT)
        for name in ("deadline", "lifespan", "liveliness_lease_duration"):
            if name in policies:
                setattr(self, name, policies[name])
        self.avoid_ros_namespace_conventions = policies.get("avoid_ros_namespace_conventions", False)

    @property
    def depth(self) -> int:
        return self._depth

    @depth.setter
    def depth(self, value: int) -> None:
        assert isinstance(value, int) and value >= 0, f"depth must be a non-negative int, not {value!r}"
        if self._history == HistoryPolicy.KEEP_LAST and value == 0:
            warnings.warn(
                "A zero depth with KEEP_LAST doesn't make sense; no data could be stored. "
                "This will be interpreted as SYSTEM_DEFAULT",
                stacklevel=2,
            )
        self._depth = value

    @property
    def avoid_ros_namespace_conventions(self) -> bool:
        return self._avoid_ros_namespace_conventions

    @avoid_ros_namespace_conventions.setter
    def avoid_ros_namespace_conventions(self, value: bool) -> None:
        assert isinstance(value, bool), f"avoid_ros_namespace_conventions must be a bool, not {value!r}"
        self._avoid_ros_namespace_conventions = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QoSProfile):
            return False
        return all(getattr(self, slot) == getattr(other, slot) for slot in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"QoSProfile({', '.join(f'{name}={getattr(self, name)}' for name in _POLICIES)})"


_POLICIES = (
    "history",
    "depth",
    "reliability",
    "durability",
    "lifespan",
    "deadline",
    "liveliness",
    "liveliness_lease_duration",
    "avoid_ros_namespace_conventions",
)


def resolved(qos: QoSProfile) -> QoSProfile:
    """The profile with rmw_zenoh's choice wherever it leaves one: what goes on the wire."""
    history = qos.history if qos.history == HistoryPolicy.KEEP_ALL else HistoryPolicy.KEEP_LAST
    best_effort = qos.reliability == ReliabilityPolicy.BEST_EFFORT
    latched = qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    manual = qos.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC
    answer = QoSProfile(
        history=history,
        depth=qos.depth or DEFAULT_DEPTH,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        liveliness=LivelinessPolicy.MANUAL_BY_TOPIC if manual else LivelinessPolicy.AUTOMATIC,
        avoid_ros_namespace_conventions=qos.avoid_ros_namespace_conventions,
    )
    answer._deadline_ns = qos._deadline_ns or INFINITE_NS
    answer._lifespan_ns = qos._lifespan_ns or INFINITE_NS
    answer._liveliness_lease_duration_ns = qos._liveliness_lease_duration_ns or INFINITE_NS
    return answer


def _profile(
    depth: int,
    reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
    history: HistoryPolicy = HistoryPolicy.KEEP_LAST,
    liveliness: LivelinessPolicy = LivelinessPolicy.SYSTEM_DEFAULT,
) -> QoSProfile:
    return QoSProfile(
        history=history, depth=depth, reliability=reliability, durability=durability, liveliness=liveliness
    )


# The presets of rmw/qos_profiles.h.
qos_profile_unknown = _profile(
    0,
    ReliabilityPolicy.UNKNOWN,
    DurabilityPolicy.UNKNOWN,
    HistoryPolicy.UNKNOWN,
    LivelinessPolicy.UNKNOWN,
)
qos_profile_default = _profile(10)
qos_profile_system_default = _profile(
    0, ReliabilityPolicy.SYSTEM_DEFAULT, DurabilityPolicy.SYSTEM_DEFAULT, HistoryPolicy.SYSTEM_DEFAULT
)
qos_profile_sensor_data = _profile(5, ReliabilityPolicy.BEST_EFFORT)
qos_profile_services_default = _profile(10)
qos_profile_parameters = _profile(1000)
qos_profile_parameter_events = _profile(1000)
qos_profile_rosout_default = _profile(1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
qos_profile_rosout_default._lifespan_ns = 10 * 10**9
qos_profile_best_available = _profile(
    10,
    ReliabilityPolicy.BEST_AVAILABLE,
    DurabilityPolicy.BEST_AVAILABLE,
    liveliness=LivelinessPolicy.BEST_AVAILABLE,
)
qos_profile_action_status_default = _profile(1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class QoSPresetProfiles(Enum):
    UNKNOWN = qos_profile_unknown
    DEFAULT = qos_profile_default
    SYSTEM_DEFAULT = qos_profile_system_default
    SENSOR_DATA = qos_profile_sensor_data
    SERVICES_DEFAULT = qos_profile_services_default
    PARAMETERS = qos_profile_parameters
    PARAMETER_EVENTS = qos_profile_parameter_events
    ACTION_STATUS_DEFAULT = qos_profile_action_status_default
    BEST_AVAILABLE = qos_profile_best_available

    @classmethod
    def short_keys(cls) -> list[str]:
        return [name.lower() for name in cls.__members__]

    @classmethod
    def get_from_short_key(cls, name: str) -> QoSProfile:
        return cls[name.upper()].value


class QoSCompatibility(IntEnum):
    """Answer of `qos_check_compatible`."""

    OK = 0
    WARNING = 1
    ERROR = 2


def qos_check_compatible(
    publisher_qos: QoSProfile, subscription_qos: QoSProfile
) -> tuple[QoSCompatibility, str]:
    """Whether a publisher and a subscription match, and why not.

    Zenoh matches any pair, and rmw_zenoh answers OK to every question. This function applies the rules of DDS
    instead (rmw_dds_common), because a robot's other half may run on it and a mismatch there is silent.
    """
    pub, sub = publisher_qos, subscription_qos
    errors = []
    unknown = []
    for policy, strong, weak in (
        ("reliability", ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT),
        ("durability", DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE),
        ("liveliness", LivelinessPolicy.MANUAL_BY_TOPIC, LivelinessPolicy.AUTOMATIC),
    ):
        offered, wanted = getattr(pub, policy), getattr(sub, policy)
        if offered == weak and wanted == strong:
            errors.append(
                f"ERROR: {weak.short_key} publisher and {strong.short_key} subscription ({policy});"
            )
        elif (wanted == strong or offered == weak) and not {offered, wanted} <= {strong, weak}:
            unknown.append(
                f"WARNING: {policy} is {offered.short_key} and {wanted.short_key}; it may not match;"
            )
    for policy in ("deadline", "liveliness_lease_duration"):
        offered_ns = getattr(pub, f"_{policy}_ns") or INFINITE_NS
        wanted_ns = getattr(sub, f"_{policy}_ns") or INFINITE_NS
        if wanted_ns < offered_ns:
            errors.append(f"ERROR: the subscription's {policy} is shorter than the publisher's;")
    if errors:
        return QoSCompatibility.ERROR, " ".join(errors)
    if unknown:
        return QoSCompatibility.WARNING, " ".join(unknown)
    return QoSCompatibility.OK, ""
