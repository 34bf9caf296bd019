"""What can be imported where no ROS 2 is installed. Each check in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import REPO


def run(code: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO), **environ},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def _without_ros() -> None:
    import rclpy

    if not rclpy.__name__.startswith("qeil_ros"):
        pytest.skip("a real rclpy is installed; nothing is served")


def test_rclpy_is_the_client() -> None:
    assert (
        run(
            "import qeil_ros.rosless, sys, rclpy, rclpy.node, rclpy.qos\n"
            "from rclpy.node import Node\n"
            "import qeil_ros.rosless.client.node as same\n"
            "print(rclpy.__name__, rclpy.node is same, Node is same.Node, rclpy.__spec__.name,"
            " rclpy.node is sys.modules['rclpy.node'], same.__spec__.name)"
        )
        == "qeil_ros.rosless.client True True qeil_ros.rosless.client True qeil_ros.rosless.client.node"
    )


def test_client_first_then_rclpy() -> None:
    assert (
        run("import qeil_ros.rosless.client.qos as first\nimport rclpy.qos\nprint(rclpy.qos is first)")
        == "True"
    )


def test_interface_packages() -> None:
    assert (
        run(
            "import qeil_ros.rosless\n"
            "import sensor_msgs, std_msgs.msg\n"
            "from sensor_msgs.msg import Image\n"
            "from std_srvs.srv import Trigger\n"
            "from builtin_interfaces.msg import Time\n"
            "from sensor_msgs.msg import Image as again\n"
            "from std_msgs.msg import *\n"
            "print(Image.__module__, Image is again, Trigger.Request().__class__.__name__, String.__name__,"
            " Image().header.stamp.__class__ is Time)"
        )
        == "sensor_msgs.msg True Trigger_Request String True"
    )


def test_our_interfaces() -> None:
    assert (
        run(
            "import qeil_ros.rosless\n"
            "from qeil_ros.msg import FeatureFrame, OperatingPoint\n"
            "import qeil_ros.msg\n"
            "print(FeatureFrame.__module__, 'FeatureFrame' in dir(qeil_ros.msg), OperatingPoint.ROUTE_LOCAL)"
        )
        == "qeil_ros.msg True 1"
    )
    assert (
        run(
            "import qeil_ros.rosless\n"
            "from qeil_ros.srv import Pin\n"
            "import qeil_ros.srv\n"
            "print(Pin.Request(mode='local').mode, Pin.Response().success, 'RaiseLimit' in dir(qeil_ros.srv))"
        )
        == "local False True"
    )


def test_what_does_not_exist_is_not_served() -> None:
    assert (
        run(
            "import qeil_ros.rosless, importlib\n"
            "names = ['nothing_msgs', 'std_msgs.action', 'rclpy.nothing', 'qeil_ros.action']\n"
            "names += ['std_srvs.msg']\n"
            "for name in names:\n"
            "    try:\n"
            "        importlib.import_module(name)\n"
            "        print('found', name)\n"
            "    except ModuleNotFoundError as error:\n"
            "        print(error.name == name)\n"
            "try:\n"
            "    from std_msgs.msg import Strin\n"
            "except ImportError as error:\n"
            "    print('Strin' in str(error))"
        ).split()
        == ["True"] * 6
    )


def test_a_real_rclpy_wins(tmp_path: Path) -> None:
    (tmp_path / "rclpy").mkdir()
    (tmp_path / "rclpy" / "__init__.py").write_text("REAL = True\n")
    assert (
        run(
            "import qeil_ros.rosless.finder as finder, rclpy, sys\n"
            "print(rclpy.REAL, finder.installed(), finder.install())\n"
            "try:\n"
            "    import std_msgs\n"
            "except ModuleNotFoundError:\n"
            "    print('nothing served')",
            PYTHONPATH=os.pathsep.join([str(REPO), str(tmp_path)]),
        )
        == "True False False\nnothing served"
    )


def test_a_plain_folder_is_no_rclpy(tmp_path: Path) -> None:
    (tmp_path / "rclpy").mkdir()
    assert (
        run(
            "import qeil_ros.rosless.finder as finder, rclpy, rclpy.qos\n"
            "print(finder.install(), rclpy.__name__, rclpy.qos.__name__)",
            PYTHONPATH=os.pathsep.join([str(REPO), str(tmp_path)]),
        )
        == "True qeil_ros.rosless.client qeil_ros.rosless.client.qos"
    )


def test_an_installed_package_wins(tmp_path: Path) -> None:
    (tmp_path / "std_msgs").mkdir()
    (tmp_path / "std_msgs" / "__init__.py").write_text("REAL = True\n")
    assert (
        run(
            "import qeil_ros.rosless, std_msgs\nprint(std_msgs.REAL)",
            PYTHONPATH=os.pathsep.join([str(REPO), str(tmp_path)]),
        )
        == "True"
    )


def test_importing_is_cheap_and_idempotent() -> None:
    assert (
        run(
            "import qeil_ros.rosless as rosless, sys\n"
            "rosless.install(), rosless.install()\n"
            "print(len([f for f in sys.meta_path if type(f).__name__ == '_InterfaceFinder']),"
            " [m for m in ('numpy', 'zenoh', 'rosbags') if m in sys.modules])"
        )
        == "1 []"
    )


def test_the_distribution_is_chosen_by_the_environment() -> None:
    code = "import qeil_ros.rosless\nfrom lifecycle_msgs.msg import TransitionEvent\n"
    code += "print(hasattr(TransitionEvent(), 'stamp'))"
    assert run(code, ROS_DISTRO="lyrical") == "True"
    assert run(code, ROS_DISTRO="") == "False"
