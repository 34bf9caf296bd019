"""Launch files to launch descriptions: every tag, and every mistake with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from qeil_ros.rosless.launch import (
    InlineFile,
    LaunchDescription,
    LaunchError,
    LogMessage,
    Packages,
    ShutdownRequest,
    declared_arguments,
    parse,
)

ENVIRON = {"HOME": "/home/me", "PATH": "/bin:/usr/bin"}
PACKAGES = Packages(
    {},
    own_share={"demo": lambda: Path("/demo/share")},
    own_executables={"demo": lambda name: ["python", "-m", name] if name == "talker" else None},
)


def read(folder: Path, body: str, /, **arguments: str) -> LaunchDescription:
    path = folder / "test.launch.xml"
    path.write_text(f"<launch>\n{body}\n</launch>\n")
    return parse(path, arguments, ENVIRON, PACKAGES)


def echoed(description: LaunchDescription) -> list[str]:
    """The words of the `echo` commands: what the tests use to look at values."""
    return [" ".join(str(word) for word in spec.command[1:]) for spec in description.processes]


def test_arg_let_and_scoped_groups(tmp_path: Path) -> None:
    body = """
    <arg name="a" default="1"/> <arg name="b" default="$(var a)2"/>
    <let name="c" value="$(var b)3"/>
    <group><let name="c" value="inner"/><executable cmd="echo $(var c)"/></group>
    <executable cmd="echo $(var c)"/>
    <group scoped="false"><let name="c" value="leaks"/></group>
    <executable cmd="echo $(var c)"/>
    <group forwarding="false"><keep name="kept" value="$(var c)!"/>
      <executable cmd="echo $(var kept) $(var c gone)"/></group>"""
    assert echoed(read(tmp_path, body)) == ["inner", "123", "leaks", "leaks! gone"]
    assert echoed(read(tmp_path, body, a="9"))[1] == "923"
    assert echoed(read(tmp_path, body, b="9"))[1] == "93"


def test_choices(tmp_path: Path) -> None:
    body = '<arg name="m" default="x"><choice value="x"/><choice value="y"/></arg><log message="$(var m)"/>'
    assert read(tmp_path, body, m="y").actions == (LogMessage("y"),)
    with pytest.raises(LaunchError, match=r"test.launch.xml:2: argument 'm' is 'z'; valid choices: x, y"):
        read(tmp_path, body, m="z")


@pytest.mark.parametrize(
    ("condition", "runs"),
    [
        ('if="true"', True),
        ('if="1"', True),
        ('if=" TRUE "', True),
        ('if="0"', False),
        ('unless="false"', True),
        ('unless="$(var on)"', False),
        ('if="$(var on)"', True),
    ],
)
def test_conditions(condition: str, runs: bool, tmp_path: Path) -> None:
    for tag in ("executable cmd='echo x'", "log message='x'", "shutdown"):
        description = read(tmp_path, f"<{tag} {condition}/>", on="true")
        assert len(description.actions) == runs
    assert len(read(tmp_path, f"<group {condition}><log message='x'/></group>", on="true").actions) == runs


def test_node_command_line(tmp_path: Path) -> None:
    parameters = tmp_path / "p.yaml"
    parameters.write_text("/**: {ros__parameters: {x: 1}}\n")
    body = """
    <set_parameter name="use_sim_time" value="true"/>
    <set_remap from="/tf" to="tf"/>
    <push-ros-namespace namespace="robot"/>
    <node pkg="demo" exec="talker" name="t" namespace="arm" args="--fast '$(var w)'"
        ros_args="--log-level debug">
      <param name="rate" value="30.0"/>
      <param name="deep"><param name="list" value="[1, 2]"/>
        <param name="er"><param name="s" value="'1'"/></param></param>
      <param from="$(dirname)/p.yaml"/>
      <remap from="image" to="/camera/$(var w)"/>
      <env name="OMP_NUM_THREADS" value="1"/>
    </node>"""
    (spec,) = read(tmp_path, body, w="two words").processes
    inline = [word for word in spec.command if isinstance(word, InlineFile)]
    assert [word if isinstance(word, str) else "<inline>" for word in spec.command] == [
        *(
            "python",
            "-m",
            "talker",
            "--fast",
            "two words",
            "--ros-args",
            "--log-level",
            "debug",
            "--ros-args",
        ),
        *("-r", "__node:=t", "-r", "__ns:=/robot/arm", "-p", "use_sim_time:=true"),
        *("--params-file", "<inline>", "--params-file", "<inline>", "--params-file", str(parameters)),
        *("-r", "/tf:=tf", "-r", "image:=/camera/two words"),
    ]
    assert [yaml.safe_load(file.text) for file in inline] == [
        {"/robot/arm/t": {"ros__parameters": {"rate": 30.0}}},
        {"/robot/arm/t": {"ros__parameters": {"deep": {"list": [1, 2], "er": {"s": "1"}}}}},
    ]
    assert spec.node == "/robot/arm/t"
    assert spec.environ == {**ENVIRON, "OMP_NUM_THREADS": "1"}
    assert (spec.name, spec.output, spec.respawn) == ("talker", "log", False)


def test_node_without_name_or_namespace(tmp_path: Path) -> None:
    (spec,) = read(tmp_path, '<node exec="prog"><param name="x" value="a b"/></node>').processes
    assert spec.command == (
        "prog",
        "--ros-args",
        "--params-file",
        InlineFile("/**:\n  ros__parameters:\n    x: a b\n"),
    )
    assert spec.node is None


@pytest.mark.parametrize(
    ("pushed", "own", "expected"),
    [
        ([], None, None),
        (["a"], None, "/a"),
        (["a", "b"], None, "/a/b"),
        (["a"], "b", "/a/b"),
        (["a"], "/b", "/b"),
        (["a", "/b"], "c", "/b/c"),
        ([], "", "/"),
        (["a"], "", "/a"),
        (["/"], "b", "/b"),
    ],
)
def test_namespaces(pushed: list[str], own: str | None, expected: str | None, tmp_path: Path) -> None:
    body = "".join(f'<push_ros_namespace namespace="{name}"/>' for name in pushed)
    body += '<node exec="p"/>' if own is None else f'<node exec="p" namespace="{own}"/>'
    (spec,) = read(tmp_path, body).processes
    assert [word for word in spec.command if str(word).startswith("__ns:=")] == (
        [] if expected is None else [f"__ns:={expected}"]
    )


def test_param_file_with_substitutions(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("/**: {ros__parameters: {x: $(var v)}}\n")
    (spec,) = read(
        tmp_path, '<node exec="p"><param from="$(dirname)/p.yaml" allow_substs="true"/></node>', v="7"
    ).processes
    assert spec.command[-1] == InlineFile("/**: {ros__parameters: {x: 7}}\n")


def test_environment_is_scoped(tmp_path: Path) -> None:
    body = """
    <group><set_env name="A" value="1"/><append_env name="A" value="2"/>
      <append_env name="A" value="0" prepend="true" separator=","/><unset_env name="HOME"/>
      <executable cmd="echo $(env A) $(env HOME gone)"/></group>
    <executable cmd="echo $(env A unset) $(env HOME)"/>"""
    description = read(tmp_path, body)
    assert echoed(description) == ["0,1:2 gone", "unset /home/me"]
    assert description.processes[0].environ == {"PATH": ENVIRON["PATH"], "A": "0,1:2"}


def test_parameters_remaps_and_namespace_are_scoped(tmp_path: Path) -> None:
    body = """
    <set_parameter name="outer" value="1"/>
    <group><set_parameter name="inner" value="[a, b]"/><set_remap from="x" to="y"/>
      <push-ros-namespace namespace="n"/>
      <node exec="p"/></group>
    <node exec="p"/>"""
    inside, outside = read(tmp_path, body).processes
    assert inside.command == (
        *("p", "--ros-args", "-r", "__ns:=/n", "-p", "outer:=1", "-p", "inner:=[a, b]", "-r", "x:=y"),
    )
    assert outside.command == ("p", "--ros-args", "-p", "outer:=1")


def test_executable_attributes(tmp_path: Path) -> None:
    body = """<executable cmd="sh -c 'echo hi'" name="hello" cwd="/tmp" output="screen" respawn="true"
      respawn_delay="0.5" respawn_max_retries="3" on_exit="shutdown" launch-prefix="nice -n 5"
      sigterm_timeout="1" sigkill_timeout="2"/>"""
    (spec,) = read(tmp_path, body).processes
    assert spec.command == ("nice", "-n", "5", "sh", "-c", "echo hi")
    assert (spec.name, spec.cwd, spec.output) == ("hello", "/tmp", "screen")
    assert (spec.respawn, spec.respawn_delay_s, spec.respawn_max_retries) == (True, 0.5, 3)
    assert (spec.on_exit_shutdown, spec.sigterm_timeout_s, spec.sigkill_timeout_s) == (True, 1.0, 2.0)


@pytest.mark.parametrize(
    ("cmd", "words"),
    [
        ("a b", ["a", "b"]),
        ("a$(var w)b c", ["atwo wordsb", "c"]),
        ("'$(var w)'", ["two words"]),
        ("$(var w) $(var w)", ["two words", "two words"]),
        ("a '' b", ["a", "", "b"]),
        ('"a b"', ["a b"]),
    ],
)
def test_splitting_a_command(cmd: str, words: list[str], tmp_path: Path) -> None:
    quoted = cmd.replace('"', "&quot;")
    (spec,) = read(tmp_path, f'<executable cmd="{quoted}"/>', w="two words").processes
    assert list(spec.command) == words


def test_timer_delays_add_up(tmp_path: Path) -> None:
    body = """<timer period="1.5"><log message="a"/><timer period="$(var p)"><shutdown reason="r"/></timer>
    </timer>
    <log message="b"/>"""
    assert read(tmp_path, body, p="2").actions == (
        LogMessage("a", 1.5),
        ShutdownRequest("r", 3.5),
        LogMessage("b"),
    )


def test_include(tmp_path: Path) -> None:
    inner = tmp_path / "sub"
    inner.mkdir()
    (inner / "inner.launch.xml").write_text(
        '<launch><arg name="need"/><arg name="opt" default="o"/>'
        '<executable cmd="echo $(var need) $(var opt) $(dirname)"/></launch>'
    )
    body = """<include file="$(dirname)/sub/inner.launch.xml"><arg name="need" value="n"/></include>
    <executable cmd="echo $(dirname)"/>"""
    assert echoed(read(tmp_path, body)) == [f"n o {inner}", str(tmp_path)]
    assert echoed(read(tmp_path, body, opt="given"))[0] == f"n given {inner}"
    with pytest.raises(
        LaunchError, match=r"inner.launch.xml:1: argument 'need' is required: give need:=VALUE"
    ):
        read(tmp_path, '<include file="$(dirname)/sub/inner.launch.xml"/>')


def test_include_of_itself_ends(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="deep"):
        read(tmp_path, '<include file="$(filename)"/>')


def test_declared_arguments(tmp_path: Path) -> None:
    (tmp_path / "inner.xml").write_text(
        '<launch><arg name="given"/><arg name="open" default="1" description="from the inner file"/></launch>'
    )
    path = tmp_path / "outer.xml"
    path.write_text("""<launch>
    <arg name="where" default="$(dirname)"/>
    <arg name="m" description="mode"><choice value="x"/><choice value="y"/></arg>
    <include file="$(var where)/inner.xml"><arg name="given" value="1"/></include>
    <group if="$(equals $(var m) x)"><arg name="deep" default=""/></group></launch>""")
    arguments = {argument.name: argument for argument in declared_arguments(path, ENVIRON, PACKAGES)}
    assert list(arguments) == ["where", "m", "open", "deep"]
    assert arguments["where"].default == "$(dirname)"
    assert (arguments["m"].default, arguments["m"].choices) == (None, ("x", "y"))
    assert arguments["open"].description == "from the inner file"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<nope/>", "unknown tag <nope>"),
        ("<group><nod/></group>", "unknown tag <nod>"),
        ("<node exec='x'><group/></node>", "unknown tag <group> inside <node>"),
        ("<node exec='x' nme='y'/>", "unknown attribute 'nme' of <node>"),
        ("<node name='x'/>", "needs the attribute 'exec'"),
        ("<group if='false'><node exec='x' nme='y'/></group>", "unknown attribute 'nme'"),
        ("<group if='false'><log message='$(vra x)'/></group>", r"unknown substitution \$\(vra"),
        ("<log message='$(var x)'/>", "'x' is not set"),
        ("<log message='x' if='true' unless='true'/>", "both 'if' and 'unless'"),
        ("<log message='x' if='maybe'/>", "condition is true, 1, false or 0"),
        ("<arg name='x' description='d e'/>", r"argument 'x' \(d e\) is required: give x:=VALUE"),
        ("<node pkg='demo' exec='ghost'/>", "no executable 'ghost'"),
        ("<node pkg='ghost' exec='x'/>", "'ghost' is not installed"),
        ("<node exec='x' name='1x'/>", "not a valid node name"),
        ("<node exec='x' namespace='a b'/>", "not a valid namespace"),
        ("<node exec='x'>\n<param name='p'/></node>", "needs either a 'value' or nested"),
        ("<node exec='x'><param name='p' value='[1, a]'/></node>", "parameter 'p': the list"),
        ("<node exec='x'><param name='p' value='x' type='int'/></node>", "not of type 'int'"),
        ("<node exec='x'><param from='/nowhere.yaml'/></node>", "'/nowhere.yaml' does not exist"),
        ("<node exec='x'><param from='/nowhere.yaml' name='x'/></node>", "takes nothing else"),
        ("<set_parameters_from_file filename='/nowhere.yaml'/>", "does not exist"),
        ("<include file='/nowhere.xml'/>", "does not exist"),
        ("<executable cmd=''/>", "cmd is empty"),
        ('<executable cmd="a \'b"/>', "cannot split"),
        ("<executable cmd='a' output='loud'/>", "output='loud'"),
        ("<executable cmd='a' on_exit='explode'/>", "on_exit='explode'"),
        ("<executable cmd='a' respawn='maybe'/>", "neither true nor false"),
        ("<executable cmd='a' respawn_delay='-1'/>", "below 0"),
        ("<timer period='soon'/>", "not a number"),
        ("text", "text 'text' inside <launch>"),
    ],
)
def test_errors_name_file_and_line(body: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=rf"^{tmp_path}/test.launch.xml:(3|4): .*{message}"):
        read(tmp_path, f"<log message='line 2'/>\n{body}")


def test_broken_files(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="cannot read the launch file"):
        parse(tmp_path / "missing.launch.xml")
    for name, text, message in (
        ("a.xml", "<launch>\n<arg></launch>", r"a.xml:2: not well-formed XML: mismatched tag"),
        ("b.xml", "", "b.xml:1: not well-formed XML: no element found"),
        ("c.xml", "<robot/>", r"c.xml:1: the root element is <robot>, expected <launch>"),
        ("d.launch.py", "import os", "only XML launch files"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(LaunchError, match=message):
            parse(tmp_path / name)
