from __future__ import annotations

import json

import pytest

from qeil_ros.safety.health_log import HealthLog


def test_alike_in_a_row_is_one_entry_and_others_between_do_not_matter():
    log = HealthLog()
    for now_s in (1.0, 2.0, 3.0):
        log.add("camera", "frozen", "the same image", now_s)
        log.add("link", "down", f"at {now_s}", now_s)
    log.add("camera", "well", "", 4.0)
    log.add("camera", "frozen", "the same image", 5.0)
    camera = [entry for entry in log.entries if entry.subject == "camera"]
    assert [(entry.event, entry.count) for entry in camera] == [("frozen", 3), ("well", 1), ("frozen", 1)]
    assert (camera[0].first_s, camera[0].last_s) == (1.0, 3.0)
    assert str(camera[0]) == "camera: frozen: the same image (3 times)" and str(camera[1]) == "camera: well"
    assert log.count("frozen") == 4 and log.count("down", "link") == 3 and log.count("down", "camera") == 0


def test_bounded_but_every_event_counts():
    log = HealthLog(most=3)
    for number in range(100):
        log.add("gpu", "fault", f"number {number}", float(number))
    assert [entry.text for entry in log.entries] == ["number 97", "number 98", "number 99"]
    assert log.count("fault", "gpu") == 100
    with pytest.raises(ValueError, match="most is 0"):
        HealthLog(most=0)


def test_recent_and_rows():
    log = HealthLog()
    log.add("a", "fault", "old", 0.0)
    log.add("b", "fault", "new", 9.0)
    log.add("c", "fault", "newer", 9.5)
    assert [entry.subject for entry in log.recent(10.0, 5.0)] == ["c", "b"]
    assert json.loads(json.dumps(log.rows(10.0)))[1] == {
        "subject": "b",
        "event": "fault",
        "text": "new",
        "count": 1,
        "first_age_s": 1.0,
        "last_age_s": 1.0,
    }
