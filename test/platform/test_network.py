from __future__ import annotations

import pytest
from fake_machine import FakeMachine

from qeil_ros.platform import procfs_sensors


@pytest.fixture
def machine(tmp_path):
    machine = FakeMachine(tmp_path)
    machine.add_network("eth0")
    machine.add_network("wlan0", wireless=True)
    machine.write("class/net/lo/mtu", 65536)
    machine.write("class/net/docker0/mtu", 1500)
    machine.traffic(lo=(5, 5), eth0=(1000, 2000), wlan0=(0, 0))
    machine.signal("0000   54.  -56.  -256        0      0      0      0   1163        0")
    return machine


def sensors(machine):
    found = procfs_sensors(machine.proc, machine.sys)
    return [sensor for sensor in found if sensor.names[0].startswith(("network", "signal"))]


def read(machine_sensors, now_s):
    return {reading.name: reading for sensor in machine_sensors for reading in sensor.read(now_s)}


def test_bytes_a_second_of_interfaces_with_hardware_behind_them(machine):
    found = sensors(machine)
    first = read(found, 0.0)
    assert list(first) == [
        "network/eth0/received",
        "network/eth0/sent",
        "network/wlan0/received",
        "network/wlan0/sent",
        "signal/wlan0",
    ]
    assert "first" in first["network/eth0/sent"].reason
    machine.traffic(lo=(5, 5), eth0=(2000, 2000), wlan0=(10, 500))
    second = read(found, 2.0)
    assert [second[name].value for name in list(second)[:4]] == [500.0, 0.0, 5.0, 250.0]
    assert second["network/eth0/sent"].unit == "B/s"


def test_interface_that_goes_and_comes_back_begins_anew(machine):
    found = sensors(machine)
    read(found, 0.0)
    machine.traffic(eth0=(2000, 2000))
    gone = read(found, 1.0)
    assert "is gone" in gone["network/wlan0/sent"].reason
    assert gone["network/eth0/received"].value == 1000.0
    machine.traffic(eth0=(10, 20))
    assert "moved forward" in read(found, 2.0)["network/eth0/received"].reason
    machine.traffic(eth0=(110, 20))
    assert read(found, 3.0)["network/eth0/received"].value == 100.0


@pytest.mark.parametrize("text", ["eth0: 1 2", "eth0: a b c d e f g h i j", "eth0: -5 1 1 1 1 1 1 1 -6 1"])
def test_garbage_for_counters(machine, text):
    found = sensors(machine)
    machine.write_proc("net/dev", text)
    assert "not a line of counters" in read(found, 0.0)["network/eth0/received"].reason


def test_file_that_vanishes(machine):
    found = sensors(machine)
    (machine.proc / "net/dev").unlink()
    assert {reading.reason for reading in read(found, 0.0).values() if not reading.good} == {
        "no such file or directory"
    }


@pytest.mark.parametrize(("text", "dbm"), [("0000 54. -56. -256 0", -56.0), ("0000 70. 200. 0 0", -56.0)])
def test_signal(machine, text, dbm):
    machine.signal(text)
    reading = read(sensors(machine), 0.0)["signal/wlan0"]
    assert (reading.value, reading.unit) == (dbm, "dBm")


@pytest.mark.parametrize("text", ["0000", "0000 54. loud 1", "0000 0. 0. 0.", "0000 5. -999. 0", "1 5. nan"])
def test_signal_that_is_none(machine, text):
    machine.signal(text)
    assert "not a signal strength" in read(sensors(machine), 0.0)["signal/wlan0"].reason
    machine.write_proc("net/wireless", "no interface")
    assert "not connected" in read(sensors(machine), 0.0)["signal/wlan0"].reason


def test_machine_without_a_network_has_no_such_sensor(tmp_path):
    assert sensors(FakeMachine(tmp_path)) == []
