"""The `$(...)` language, against examples whose meaning ROS 2 launch fixes."""

from __future__ import annotations

from pathlib import Path

import pytest

from qeil_ros.rosless.launch.packages import Packages
from qeil_ros.rosless.launch.substitutions import Environment, SubstitutionError, expand, parse_template
from qeil_ros.rosless.launch.values import typed_value


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    program = tmp_path / "install/lib/demo/talker"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "install/share/demo").mkdir(parents=True)
    packages = Packages(
        {"AMENT_PREFIX_PATH": f"/nowhere:{tmp_path}/install"}, {"own": lambda: Path("/own/share")}
    )
    variables = {"a": "A", "which": "a", "space": "two words", "yes": "true", "no": "0"}
    return Environment(
        variables, {"HOME": "/home/me", "PATH": "/bin:/usr/bin"}, packages, tmp_path / "x.launch.xml"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain $ text) 'q' \"d\"", "plain $ text) 'q' \"d\""),
        ("$(var a)/$(var a)", "A/A"),
        ("$(var $(var which))", "A"),
        ("$(var missing fallback)", "fallback"),
        ("$(var missing 'two $(var a)')", "two A"),
        ("$(var missing $(env HOME))", "/home/me"),
        ("$(var missing pre$(var a)post)", "preApost"),
        ("$(env NOPE '')", ""),
        ("$(env NOPE default)", "default"),
        (r"\$(var a)", "$(var a)"),
        (r"\\$(var a)", r"\A"),
        (r"a\nb", "anb"),
        ("trailing\\", "trailing\\"),
        (r"$(var missing \(x\))", "(x)"),
        (r"$(var missing 'it\'s')", "it's"),
        ("""$(var missing '"(x)"')""", '"(x)"'),
        ("""$(var missing "it's")""", "it's"),
        ("""$(eval "'$(var a)' == 'A'")""", "True"),
        ("$(eval '2 * 3 + sqrt(4)')", "8.0"),
        ("$(find-pkg-share own)/config", "/own/share/config"),
        ("$(if $(var yes) one two)", "one"),
        ("$(if $(var no) one)", ""),
        ("$(not $(var no))", "true"),
        ("$(and true $(var no))", "false"),
        ("$(or true $(var no))", "true"),
        ("$(any 0 0 1)$(all 1 1 0)", "truefalse"),
        ("$(equals $(var a) A)$(not-equals a a)", "truefalse"),
        ("$(find-exec sh)", "/bin/sh"),
    ],
)
def test_expand(text: str, expected: str, env: Environment) -> None:
    assert expand(parse_template(text), env) == expected


def test_places(env: Environment, tmp_path: Path) -> None:
    assert expand(parse_template("$(dirname)|$(filename)"), env) == f"{tmp_path}|{tmp_path}/x.launch.xml"
    assert expand(parse_template("$(find-pkg-share demo)"), env) == f"{tmp_path}/install/share/demo"
    assert expand(parse_template("$(find-pkg-prefix demo)"), env) == f"{tmp_path}/install"
    assert expand(parse_template("$(exec-in-pkg talker demo)"), env) == f"{tmp_path}/install/lib/demo/talker"


def test_anon_is_stable_for_a_name_and_differs_between_names(env: Environment) -> None:
    one, again, other = (expand(parse_template(f"$(anon {name})"), env) for name in ("x", "x", "y"))
    assert one == again
    assert one.startswith("x_") and other.startswith("y_")
    assert one[1:] != other[1:]
    assert one.replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$(nope x)", "unknown substitution"),
        ("$(var)", "takes 1 to 2"),
        ("$(dirname x)", "takes 0"),
        ("$(var a", "no closing"),
        ("$(var 'a)", "no closing '"),
        ("$(var a(b))", "unescaped '('"),
        ("$()", "no substitution name"),
        ("$(var 'a'b)", "unexpected"),
    ],
)
def test_malformed(text: str, message: str) -> None:
    with pytest.raises(SubstitutionError, match=message.replace("(", r"\(")):
        parse_template(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$(var missing)", "'missing' is not set"),
        ("$(env NOPE)", "'NOPE' is not set"),
        ("$(find-pkg-share ghost)", "'ghost' is not installed"),
        ("$(exec-in-pkg ghost demo)", "no executable 'ghost'"),
        ("$(find-exec no-such-program-here)", "not on the PATH"),
        ("$(not maybe)", "neither true nor false"),
        ("$(eval '1 +')", "failed"),
        ("$(eval 'open(1)')", "failed"),
    ],
)
def test_failing(text: str, message: str, env: Environment) -> None:
    with pytest.raises(SubstitutionError, match=message):
        expand(parse_template(text), env)


@pytest.mark.parametrize(
    ("text", "kind", "separator", "expected"),
    [
        ("3", None, None, 3),
        ("3.0", None, None, 3.0),
        ("true", None, None, True),
        ("off", None, None, False),
        ("hello", None, None, "hello"),
        ("'3'", None, None, "3"),
        ("", None, None, ""),
        ("3", "str", None, "3"),
        ("3", "float", None, 3.0),
        ("1", "bool", None, True),
        ("[1, 2]", None, None, [1, 2]),
        ("[1, 2]", "list_of_float", None, [1.0, 2.0]),
        ("[a, $(var a)]", None, None, ["a", "A"]),
        ("$(var no)", None, None, 0),
        ("$(var no)", "str", None, "0"),
        ("$(var space)", None, None, "two words"),
        ("a;b", "list_of_str", ";", ["a", "b"]),
        ("1;2", "list_of_int", ";", [1, 2]),
        ("[]", None, None, []),
        ("a: b: c", None, None, "a: b: c"),
    ],
)
def test_typed_value(
    text: str, kind: str | None, separator: str | None, expected: object, env: Environment
) -> None:
    value = typed_value(text, env, kind, separator)
    assert value == expected
    assert type(value) is type(expected)
    if isinstance(expected, list):
        assert [type(item) for item in value] == [type(item) for item in expected]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x", "int"),
        ("2.5", "int"),
        ("yes!", "bool"),
        ("[1, a]", None),
        ("[1, 2.5]", None),
        ("{a: b}", None),
        ("3", "list_of_int"),
        ("1", "complex"),
        ("~", None),
        ("[[1]]", None),
        ("2020-01-01", None),
    ],
)
def test_values_that_are_refused(text: str, kind: str | None, env: Environment) -> None:
    with pytest.raises(SubstitutionError):
        typed_value(text, env, kind)
