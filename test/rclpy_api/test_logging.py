"""Log messages: levels, filters, where they go."""

from __future__ import annotations

import re

import pytest
from rcl_interfaces.msg import Log, LoggerLevel
from rcl_interfaces.srv import GetLoggerLevels, SetLoggerLevels
from rclpy.clock import Clock
from rclpy.logging import LoggingSeverity, get_logger, get_logger_effective_level, set_logger_level
from rclpy.qos import DurabilityPolicy, QoSProfile

LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def logger(request):
    """A logger of this test's own, at the default level again afterwards."""
    made = get_logger(re.sub(r"\W", "_", request.node.name))
    yield made
    made.set_level(LoggingSeverity.UNSET)


def test_levels(logger):
    assert logger.get_effective_level() == LoggingSeverity.INFO
    assert not logger.debug("no")
    assert logger.info("yes")
    logger.set_level(LoggingSeverity.ERROR)
    assert not logger.warning("no")
    assert logger.error("yes")
    assert logger.fatal("yes")
    assert logger.is_enabled_for(LoggingSeverity.ERROR)
    assert not logger.is_enabled_for(LoggingSeverity.WARN)


def test_children_inherit(logger):
    child = logger.get_child("part")
    grandchild = child.get_child("piece")
    assert grandchild.name == f"{logger.name}.part.piece"
    logger.set_level(LoggingSeverity.WARN)
    assert grandchild.get_effective_level() == LoggingSeverity.WARN
    set_logger_level(child.name, LoggingSeverity.DEBUG)
    assert get_logger_effective_level(grandchild.name) == LoggingSeverity.DEBUG
    child.set_level(LoggingSeverity.UNSET)
    assert grandchild.get_effective_level() == LoggingSeverity.WARN


def test_names_must_not_be_empty(logger):
    with pytest.raises(ValueError):
        get_logger("")
    with pytest.raises(ValueError):
        logger.get_child("")


def test_once(logger):
    assert [logger.info("once", once=True) for _ in range(3)] == [True, False, False]


def test_skip_first(logger):
    assert [logger.info("later", skip_first=True) for _ in range(3)] == [False, True, True]


def test_throttle(logger):
    assert [logger.info("rare", throttle_duration_sec=1000.0) for _ in range(3)] == [True, False, False]
    clock = Clock()
    results = [
        logger.info("rare", throttle_duration_sec=1000.0, throttle_time_source_type=clock) for _ in range(2)
    ]
    assert results == [True, False]


def test_filters_count_per_place(logger):
    results = []
    for _ in range(2):
        results.append(logger.info("here", once=True))
        results.append(logger.info("there", once=True))
    assert results == [True, True, False, False]


def test_unknown_options_are_errors(logger):
    with pytest.raises(TypeError):
        logger.info("text", twice=True)


@pytest.mark.parametrize("options", [{}, {"once": True}])
def test_a_place_must_not_change_its_mind(logger, options):
    with pytest.raises(ValueError):
        for severity in (LoggingSeverity.INFO, LoggingSeverity.WARN):
            logger.log("text", severity, **options)


def test_messages_go_to_rosout(make_node, spin_until):
    node, watcher = make_node("speaker", namespace="/ns"), make_node("watcher")
    node.get_logger().info("before")
    logs = []
    watcher.create_subscription(Log, "/rosout", logs.append, LATCHED)

    def heard(text):
        return [log for log in logs if log.msg == text]

    spin_until(lambda: heard("before"), watcher)
    node.get_logger().get_child("part").error("after")
    spin_until(lambda: heard("after"), watcher)
    [log] = heard("before")
    assert log.name == "ns.speaker"
    assert log.level == int(LoggingSeverity.INFO)
    assert log.function == "test_messages_go_to_rosout"
    assert log.file.endswith("test_logging.py")
    assert log.line > 0
    assert log.stamp.sec > 10**9
    assert heard("after")[0].name == "ns.speaker.part"


def test_rosout_can_be_left_out(make_node, spin_until):
    make_node("quiet", enable_rosout=False)
    watcher = make_node("watcher", enable_rosout=False)
    make_node("speaker")
    spin_until(lambda: watcher.count_publishers("/rosout") == 1, watcher)


def test_levels_over_services(make_node, spin_until, logger):
    node, caller = make_node("served", enable_logger_service=True), make_node("caller")

    def ask(srv_type, name, request):
        client = caller.create_client(srv_type, f"/served/{name}")
        assert client.wait_for_service(timeout_sec=20.0)
        future = client.call_async(request)
        spin_until(future.done, node, caller)
        return future.result()

    levels = [LoggerLevel(name=logger.name, level=level) for level in (int(LoggingSeverity.ERROR), 77)]
    request = SetLoggerLevels.Request(levels=levels)
    results = ask(SetLoggerLevels, "set_logger_levels", request).results
    assert [result.successful for result in results] == [True, False]
    assert logger.get_effective_level() == LoggingSeverity.ERROR
    response = ask(GetLoggerLevels, "get_logger_levels", GetLoggerLevels.Request(names=[logger.name]))
    assert response.levels[0].level == int(LoggingSeverity.ERROR)


SPEAK = """
import rclpy
rclpy.init()
from rclpy.logging import get_logger
get_logger("some.name").info("hello")
get_logger("some.name").debug("details")
get_logger("other").debug("other details")
rclpy.shutdown()
"""


def test_the_console_format(run):
    code, out, err = run(SPEAK).finish()
    assert code == 0
    assert out == ""
    assert re.fullmatch(r"\[INFO\] \[\d{10}\.\d{9}\] \[some\.name\]: hello\n", err), err


def test_the_format_can_be_chosen(run):
    pattern = "{severity}|{name}|{message}|{line_number}|{nonsense}"
    _, _, err = run(SPEAK, RCUTILS_CONSOLE_OUTPUT_FORMAT=pattern, RCUTILS_COLORIZED_OUTPUT="1").finish()
    assert re.search(r"INFO\|some\.name\|hello\|\d+\|\{nonsense\}", err), err


def test_levels_from_the_command_line(run):
    _, _, err = run(SPEAK, "--ros-args", "--log-level", "debug").finish()
    assert "hello" in err
    assert "] [some.name]: details" in err
    assert "] [other]: other details" in err
    _, _, err = run(SPEAK, "--ros-args", "--log-level", "some.name:=debug").finish()
    assert "] [some.name]: details" in err
    assert "other details" not in err
    _, _, err = run(SPEAK, "--ros-args", "--log-level", "WARN").finish()
    assert "hello" not in err
