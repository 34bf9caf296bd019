"""Reading `.msg` and `.srv` text."""

from __future__ import annotations

import pytest

from qeil_ros.rosless.types import DefinitionError, FieldType, TypeStore
from qeil_ros.rosless.types.definition import parse_message, parse_sections, parse_service

TEXT = """
# A comment
uint8 LEVEL_LOW = 1          # trailing comment
int32 NEGATIVE=-3
string GREETING="hello"
byte FLAG=0x10
float32 RATIO=0.5
bool ON=true

bool on true
int16[3] triple [1, -2, 3]
float64[<=4] few
string<=5 short "ab"
string<=5[<=2] shorts ["a", 'b, c']
geometry_msgs/Point at
Other other
builtin_interfaces/msg/Time[] times
"""


def test_everything_of_the_language() -> None:
    definition = parse_message(TEXT, "my_msgs/msg/Thing")
    assert [(item.name, item.value) for item in definition.constants] == [
        ("LEVEL_LOW", 1),
        ("NEGATIVE", -3),
        ("GREETING", "hello"),
        ("FLAG", b"\x10"),
        ("RATIO", 0.5),
        ("ON", True),
    ]
    fields = {item.name: item for item in definition.fields}
    assert fields["on"].default is True
    assert fields["triple"].type == FieldType("int16", "array", 3)
    assert fields["triple"].default == [1, -2, 3]
    assert fields["few"].type == FieldType("float64", "sequence", 4)
    assert fields["short"].type == FieldType("string", string_bound=5)
    assert fields["short"].default == "ab"
    assert fields["shorts"].type == FieldType("string", "sequence", 2, 5)
    assert fields["shorts"].default == ["a", "b, c"]
    assert fields["at"].type.base == "geometry_msgs/msg/Point"
    assert fields["other"].type.base == "my_msgs/msg/Other"
    assert fields["times"].type == FieldType("builtin_interfaces/msg/Time", "sequence")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("uint8", "neither a field"),
        ("uint8 300bad", "neither a field"),
        ("uint8 X=300", "outside of uint8"),
        ("uint8 x 1.5", "invalid literal"),
        ("bool x maybe", "no bool"),
        ("int8[2] x [1]", "1 values for 2"),
        ("int8[2] x 1", "written"),
        ("Point p 3", "cannot have a default"),
        ("uint8<=3 x", "cannot be bounded"),
        ("uint8 a\nint8 a", "defined twice: a"),
    ],
)
def test_errors_name_the_line(line: str, complaint: str) -> None:
    with pytest.raises(DefinitionError, match=complaint) as error:
        parse_message("# first\n" + line, "my_msgs/msg/Thing")
    assert "my_msgs/msg/Thing" in str(error.value)


def test_sections_of_a_recording() -> None:
    text = "Header header\nInner[] inner\n" + "=" * 80 + "\nMSG: my_msgs/Inner\nint32 x\n"
    thing, inner = parse_sections(text, "my_msgs/msg/Thing")
    assert thing.fields[0].type.base == "std_msgs/msg/Header"
    assert inner.name == "my_msgs/msg/Inner"
    with pytest.raises(DefinitionError, match="expected 'MSG:"):
        parse_sections("int32 x\n===\nint32 y\n", "my_msgs/msg/Thing")


def test_services() -> None:
    request, response = parse_service("int32 a\n---\nint32 b\n", "my_msgs/srv/Do")
    assert (request.name, response.name) == ("my_msgs/srv/Do_Request", "my_msgs/srv/Do_Response")
    with pytest.raises(DefinitionError, match="one line '---'"):
        parse_service("int32 a\n", "my_msgs/srv/Do")


def test_registered_types_become_classes() -> None:
    store = TypeStore()
    store.register(TEXT.replace("Other other", ""), "my_msgs/msg/Thing")
    thing = store.get_message("my_msgs/msg/Thing")
    message = thing()
    assert message.on is True
    assert list(message.triple) == [1, -2, 3]
    assert (message.short, message.shorts, thing.FLAG) == ("ab", ["a", "b, c"], b"\x10")
    message.shorts.append("x")
    assert thing().shorts == ["a", "b, c"], "a default must not be shared between messages"

    store.register("int32 a\n---\nstring b\n", "my_msgs/srv/Do")
    service = store.get_service("my_msgs/srv/Do")
    assert service.Request(a=3).a == 3
    assert store.names("my_msgs", "srv") == ["Do"]


def test_a_type_cannot_change() -> None:
    store = TypeStore()
    store.register("string data\n", "std_msgs/msg/String")  # the same again
    with pytest.raises(ValueError, match="known with other fields"):
        store.register("int32 data\n", "std_msgs/msg/String")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("std_msgs/msg/Strin", "std_msgs/msg has Bool, Byte"),
        ("no_msgs/msg/Thing", "register its definitions first"),
        ("std_msgs/String", "package/msg/Name"),
    ],
)
def test_unknown_types_are_explained(name: str, hint: str) -> None:
    with pytest.raises(LookupError, match=hint):
        TypeStore().get_message(name)


def test_wide_strings_are_refused() -> None:
    store = TypeStore()
    store.register("wstring text\n", "my_msgs/msg/Wide")
    with pytest.raises(NotImplementedError, match=r"my_msgs/msg/Wide.text: wstring is not supported"):
        store.get_message("my_msgs/msg/Wide")
