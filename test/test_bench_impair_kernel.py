"""The proxy's silent cut against the kernel's own TCP, across a router that stops to forward.

Needs root and network namespaces; elsewhere it is skipped, and the closed forms stand alone.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bench.impair import Conditions
from bench.impair.line import Flow, Line

CLONE_NEWNET = 0x40000000
PERIOD_S = 0.033
CUT_S = 1.0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


@dataclass
class Route:
    """Two hosts and the router between them, a namespace each."""

    client: str
    router: str
    server: str

    def forward(self, on: bool) -> None:
        switch = f"net.ipv4.ip_forward={int(on)}"
        ip("netns", "exec", self.router, "sysctl", "-qw", switch)

    def socket(self, namespace: str) -> socket.socket:
        """A TCP socket in that namespace, made by a thread that moves there and ends."""
        made: list[socket.socket] = []

        def make() -> None:
            with open(f"/var/run/netns/{namespace}", "rb") as handle:
                if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.socket())

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not made:
            pytest.skip("this process may not enter network namespaces")
        return made[0]


@pytest.fixture
def route() -> Iterator[Route]:
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("sysctl"):
        pytest.skip("network namespaces need root, ip and sysctl")
    made = Route(*(f"qeil{os.getpid()}{part}" for part in "crs"))
    try:
        try:
            for name in (made.client, made.router, made.server):
                ip("netns", "add", name)
            for number, host in ((1, made.client), (2, made.server)):
                near, far = f"qn{number}", f"qf{number}"
                ip(
                    "link",
                    "add",
                    near,
                    "netns",
                    host,
                    "type",
                    "veth",
                    "peer",
                    "name",
                    far,
                    "netns",
                    made.router,
                )
                ip("-n", host, "addr", "add", f"10.213.{number}.1/24", "dev", near)
                ip("-n", made.router, "addr", "add", f"10.213.{number}.2/24", "dev", far)
                ip("-n", host, "link", "set", near, "up")
                ip("-n", made.router, "link", "set", far, "up")
                ip("-n", host, "route", "add", "default", "via", f"10.213.{number}.2")
            made.forward(True)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        yield made
    finally:
        for name in (made.client, made.router, made.server):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=10)


def test_a_stream_resumes_after_a_silent_cut_when_the_kernels_does(route: Route) -> None:
    """With segments that go on being sent, as frames do: 0.2, 0.6, 1.4, 3.0 s after the first lost one."""
    with route.socket(route.server) as listening, route.socket(route.client) as client:
        listening.bind(("10.213.2.1", 5000))
        listening.listen()
        client.settimeout(10)
        client.connect(("10.213.2.1", 5000))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server, _ = listening.accept()
        server.settimeout(10)
        for _ in range(20):  # the kernel learns the round trip
            client.sendall(b"x")
            assert server.recv(1) == b"x"
        modelled = Flow(Line(Conditions(), 0, time.monotonic()))
        route.forward(False)
        modelled.hold(time.monotonic())
        sent_s = []
        while not sent_s or time.monotonic() - sent_s[0] < CUT_S:
            sent_s.append(time.monotonic())
            modelled.put(b"y", sent_s[-1])
            client.sendall(b"y")
            time.sleep(PERIOD_S)
        route.forward(True)
        mended_s = time.monotonic()
        expected_s = modelled.resume(mended_s)
        assert server.recv(1) == b"y"
        arrived_s = time.monotonic()
        server.close()
    if mended_s > sent_s[0] + 1.3:
        pytest.skip(f"this machine is too busy to mend the route in time: {mended_s - sent_s[0]:.2f} s")
    # The kernel adds the round trip's own variation to each timeout; the next one would be 1.6 s later.
    assert arrived_s == pytest.approx(expected_s, abs=0.4)
