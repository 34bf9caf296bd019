"""The entropy coder's C on other processors and under sanitizers: the same bytes, no step outside."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
HEADERS = HERE.parents[1] / "qeil_ros" / "csrc"
EXPECTED = """\
small 19795 bytes 08b06515d3def927
large 788669 bytes 2bafd32d7f80d38e
"""


def run(
    tmp_path: Path, arguments: list[str], compiler: str, *flags: str, emulator: tuple[str, ...] = ()
) -> str:
    for tool in (compiler, *emulator[:1]):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    program = tmp_path / "entropy_driver"
    sources = [f"-I{HEADERS}", str(HERE / "entropy_driver.c"), "-o", str(program)]
    subprocess.run([compiler, "-ffp-contract=off", *flags, *sources], check=True, timeout=150)
    done = subprocess.run([*emulator, str(program), *arguments], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.parametrize("flags", [["-O2"], ["-O1", "-DQEIL_NO_CLONES"]])
def test_vectors_and_plain_c_write_the_same(tmp_path: Path, flags: list[str]) -> None:
    assert run(tmp_path, ["bytes"], "cc", *flags) == EXPECTED


@pytest.mark.skipif(platform.machine() != "x86_64", reason="Arm is what this machine is")
def test_arm64_emulated(tmp_path: Path) -> None:
    flags = ["-O2", "-static"]
    out = run(
        tmp_path, ["bytes"], "aarch64-linux-gnu-gcc", *flags, emulator=("qemu-aarch64", "-cpu", "cortex-a53")
    )
    assert out == EXPECTED


def test_hostile_payloads_under_sanitizers(tmp_path: Path) -> None:
    sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    build = subprocess.run(
        ["cc", *sanitizers, str(probe), "-o", str(tmp_path / "probe")], capture_output=True
    )
    if build.returncode:
        pytest.skip("the compiler has no sanitizers")
    assert run(tmp_path, ["fuzz", "7", "8000"], "cc", *sanitizers).endswith("read as valid\n")
