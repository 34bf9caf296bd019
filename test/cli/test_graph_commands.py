"""Each command that looks into the graph, against one node, through the command line itself."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import yaml
from support import REPO, wait_until

from qeil_ros.cli import main

TALKER = "/demo/talker"


class Graph:
    """The demo node's process, and the command line in the same graph."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = {**environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("demo_node.py"))],
            stdout=subprocess.PIPE,
            text=True,
            env=self.environ,
            cwd=REPO,
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a command run in this process, which saves starting one each."""
        with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as errors:
            code = main(words)
        return code, output.getvalue(), errors.getvalue()

    def qeil(self, *words: str) -> str:
        """What the command prints; it must succeed."""
        code, output, errors = self.run(*words)
        assert code == 0, errors
        return output

    def spawned(self, *words: str) -> str:
        """The same from a process of its own, as a user has it."""
        done = subprocess.run(
            [sys.executable, "-m", "qeil_ros.cli", *words],
            **{"capture_output": True, "text": True, "timeout": 60, "env": self.environ, "cwd": REPO},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, *words: str) -> str:
        """The one line that the command complains with; it must fail with exit code 1."""
        code, _, errors = self.run(*words)
        assert (code, errors.count("\n")) == (1, 1), errors
        return errors


@pytest.fixture
def graph(ros_graph: dict[str, str]) -> Iterator[Graph]:
    graph = Graph(ros_graph)
    try:
        wait_until(lambda: "ready" in graph.lines, what="the demo node")
        wait_until(lambda: TALKER in graph.qeil("node", "list"), what="the demo node in the graph")
        yield graph
    finally:
        graph.process.terminate()
        assert graph.process.wait(20) is not None


def test_nodes(graph: Graph) -> None:
    assert graph.spawned("node", "list") == f"{TALKER}\n"
    assert graph.qeil("node", "list", "-c") == "1\n"
    assert json.loads(graph.qeil("node", "list", "--json")) == [TALKER]
    assert any(name.startswith("/_") for name in json.loads(graph.qeil("node", "list", "-a", "--json")))
    text = graph.qeil("node", "info", TALKER)
    assert text.startswith(f"{TALKER}\n  Subscribers:\n")
    assert "    /demo/words: std_msgs/msg/String\n" in text
    assert "    /demo/switch: std_srvs/srv/SetBool\n" in text
    facts = json.loads(graph.qeil("node", "info", "demo/talker", "--json"))
    assert facts["publishers"]["/demo/numbers"] == ["std_msgs/msg/Int32"]
    assert "no node '/ghost'" in graph.fails("node", "info", "/ghost")


def test_topics(graph: Graph) -> None:
    names = graph.spawned("topic", "list").splitlines()
    assert {"/demo/numbers", "/demo/words", "/demo/latched", "/rosout"} <= set(names)
    assert "/demo/numbers [std_msgs/msg/Int32]\n" in graph.qeil("topic", "list", "-t")
    assert json.loads(graph.qeil("topic", "list", "--json"))["/demo/words"] == ["std_msgs/msg/String"]
    assert graph.qeil("topic", "type", "/demo/numbers") == "std_msgs/msg/Int32\n"
    text = graph.qeil("topic", "info", "/demo/latched", "-v")
    assert text.startswith("Type: std_msgs/msg/String\n\nPublisher count: 1\n")
    assert "Durability: TRANSIENT_LOCAL" in text
    facts = json.loads(graph.qeil("topic", "info", "/demo/numbers", "--json"))
    (publisher,) = facts["publishers"]
    assert (publisher["node"], publisher["namespace"]) == ("talker", "/demo")
    assert publisher["qos"]["reliability"] == "BEST_EFFORT"
    assert "no topic '/ghost'" in graph.fails("topic", "type", "/ghost")
    assert "no topic '/ghost'" in graph.fails("topic", "info", "/ghost")


def test_echo(graph: Graph) -> None:
    assert graph.spawned("topic", "echo", "/demo/latched", "--once") == "data: kept\n---\n"
    numbers = [
        json.loads(line)["data"]
        for line in graph.qeil("topic", "echo", "/demo/numbers", "--count", "5", "--json").splitlines()
    ]
    assert len(numbers) == 5
    assert all(later > earlier for earlier, later in itertools.pairwise(numbers))
    assert graph.qeil("topic", "echo", "/demo/latched", "--once", "--field", "data") == "kept\n---\n"
    assert graph.qeil("topic", "echo", "/demo/latched", "--once", "--csv") == "kept\n"
    assert "type is unknown" in graph.fails("topic", "echo", "/ghost")
    assert "no message on '/ghost' for 0.2 s" in graph.fails(
        "topic", "echo", "/ghost", "std_msgs/msg/String", "--timeout", "0.2"
    )


def test_hz_and_bw(graph: Graph) -> None:
    figures = json.loads(graph.qeil("topic", "hz", "/demo/numbers", "--duration", "2", "--json"))
    assert figures["window"] > 2
    assert 1 < figures["rate_hz"] < 100
    assert figures["min_s"] <= 1 / figures["rate_hz"] <= figures["max_s"]
    text = graph.spawned("topic", "bw", "/demo/numbers", "--duration", "1.5")
    assert "Message size mean: 8 B min: 8 B max: 8 B" in text
    assert "fewer than two messages" in graph.fails("topic", "hz", "/demo/words", "--duration", "0.3")


def test_pub(graph: Graph) -> None:
    text = graph.qeil(
        "topic", "pub", "--times", "3", "-r", "50", "/demo/words", "std_msgs/msg/String", "{data: hello}"
    )
    assert "publishing #3: std_msgs.msg.String(data='hello')" in text
    wait_until(lambda: graph.lines.count("heard hello") == 3, what="three words")
    graph.spawned("topic", "pub", "-1", "demo/words", "std_msgs/msg/String", "{data: once}")
    wait_until(lambda: "heard once" in graph.lines, what="one word")
    complaint = graph.fails(
        "topic", "pub", "-1", "/nobody", "std_msgs/msg/String", "--max-wait-time-secs", "0.3"
    )
    assert "fewer than 1 subscription(s)" in complaint


def test_services(graph: Graph) -> None:
    assert "/demo/switch [std_srvs/srv/SetBool]\n" in graph.qeil("service", "list", "-t")
    assert graph.qeil("service", "type", "/demo/switch") == "std_srvs/srv/SetBool\n"
    text = graph.spawned("service", "call", "/demo/switch", "std_srvs/srv/SetBool", "{data: true}")
    assert "response:\nstd_srvs.srv.SetBool_Response(success=True, message='on')" in text
    answer = json.loads(graph.qeil("service", "call", "/demo/switch", "std_srvs/srv/SetBool", "--json"))
    assert answer == {"success": False, "message": "off"}
    assert "is not there after 0.3 s" in graph.fails(
        "service", "call", "/ghost", "std_srvs/srv/SetBool", "--timeout", "0.3"
    )


def test_parameters(graph: Graph, tmp_path: Path) -> None:
    listed = graph.spawned("param", "list", TALKER).split()
    assert {"rate_hz", "words", "camera.gain", "fixed"} <= set(listed)
    assert f"{TALKER}:\n" in graph.qeil("param", "list")
    assert graph.qeil("param", "get", TALKER, "rate_hz") == "Double value is: 20.0\n"
    assert graph.qeil("param", "get", TALKER, "words") == "String array values are: ['a', 'b']\n"
    assert json.loads(graph.qeil("param", "get", TALKER, "camera.gain", "--json")) == 3
    assert graph.qeil("param", "set", TALKER, "rate_hz", "30.0") == "Set parameter successful\n"
    assert graph.qeil("param", "get", TALKER, "rate_hz", "--hide-type") == "30.0\n"
    assert "too much gain" in graph.fails("param", "set", TALKER, "camera.gain", "11")
    assert "setting the parameter failed" in graph.fails("param", "set", TALKER, "rate_hz", "99.0")
    assert "setting the parameter failed" in graph.fails("param", "set", TALKER, "fixed", "y")
    assert "has no parameter 'ghost'" in graph.fails("param", "get", TALKER, "ghost")
    text = graph.qeil("param", "describe", TALKER, "rate_hz", "fixed")
    assert "Parameter name: rate_hz\n  Type: double\n  Description: messages a second\n" in text
    assert "Min value: 1.0\n    Max value: 50.0" in text
    assert "Read only: true" in text

    dumped = yaml.safe_load(graph.qeil("param", "dump", TALKER))
    values = dumped[TALKER]["ros__parameters"]
    assert (values["rate_hz"], values["camera"], values["words"]) == (30.0, {"gain": 3}, ["a", "b"])
    good = tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump({"/demo/*": {"ros__parameters": {"rate_hz": 5.0, "camera": {"gain": 4}}}}))
    graph.qeil("param", "load", TALKER, str(good))
    assert graph.qeil("param", "get", TALKER, "camera.gain", "--hide-type") == "4\n"
    good.write_text(yaml.safe_dump({TALKER: {"ros__parameters": {"rate_hz": 6.0, "camera": {"gain": 40}}}}))
    assert "1 of 2 parameters were refused" in graph.fails("param", "load", TALKER, str(good))


def test_lifecycle(graph: Graph) -> None:
    assert graph.spawned("lifecycle", "nodes") == f"{TALKER}\n"
    assert graph.qeil("lifecycle", "get", TALKER) == "unconfigured [1]\n"
    assert "- configure [1]\n\tStart: unconfigured\n\tGoal: configuring\n" in graph.qeil(
        "lifecycle", "list", TALKER
    )
    assert graph.qeil("lifecycle", "set", TALKER, "configure") == "Transitioning successful\n"
    assert graph.qeil("lifecycle", "set", TALKER, "activate") == "Transitioning successful\n"
    assert json.loads(graph.qeil("lifecycle", "get", "--json")) == {TALKER: {"id": 3, "label": "active"}}
    code, _, errors = graph.run("lifecycle", "set", TALKER, "configure")
    assert code == 2
    assert "has no transition 'configure' now; it has: deactivate" in errors
