"""The router as a process."""

from __future__ import annotations

import subprocess
import sys

from support import REPO


def test_a_router_says_what_is_wrong(ros_graph: dict[str, str]) -> None:
    listen = ros_graph["ZENOH_CONFIG_OVERRIDE"].split('"')[1]
    done = subprocess.run(
        [sys.executable, "-m", "qeil_ros.rosless.router", "--listen", listen],
        env=ros_graph,
        cwd=REPO,
        timeout=30,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"the router cannot listen on {listen}" in done.stderr
