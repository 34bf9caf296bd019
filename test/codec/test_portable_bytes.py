"""The kernels' C, built for other processors and optimisation levels, writes the same bytes everywhere."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
HEADERS = HERE.parents[1] / "qeil_ros" / "csrc"
EXPECTED = (HERE.parent / "golden" / "codec" / "portable_bytes.txt").read_text()
X86 = platform.machine() == "x86_64"


def written(tmp_path: Path, compiler: str, *flags: str, emulator: tuple[str, ...] = ()) -> str:
    """What the program prints, built with the flags that setup.py and CMakeLists.txt use and these."""
    for tool in (compiler, *emulator[:1]):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    program = tmp_path / "portable_bytes"
    sources = [f"-I{HEADERS}", str(HERE / "portable_bytes.c"), "-o", str(program), "-lm"]
    build = [compiler, "-O3", "-ffp-contract=off", *flags, *sources]
    subprocess.run(build, check=True, timeout=120)
    run = subprocess.run([*emulator, str(program)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("flags", [["-O0"], ["-O2"], ["-O3"], ["-O3", "-march=native", "-DQEIL_NO_CLONES"]])
def test_every_optimisation_level(tmp_path: Path, flags: list[str]) -> None:
    assert written(tmp_path, "cc", *flags) == EXPECTED


@pytest.mark.skipif(not X86, reason="the levels of x86-64")
@pytest.mark.parametrize("level", ["x86-64", "x86-64-v2", "x86-64-v3"])
def test_every_level_of_x86(tmp_path: Path, level: str) -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if level == "x86-64-v3" and " avx2 " not in flags:
        pytest.skip("this processor has no AVX2")
    assert written(tmp_path, "gcc", f"-march={level}", "-DQEIL_NO_CLONES") == EXPECTED


def test_clang(tmp_path: Path) -> None:
    assert written(tmp_path, "clang") == EXPECTED


@pytest.mark.parametrize("processor", ["cortex-a53", "max"])
def test_arm64_emulated(tmp_path: Path, processor: str) -> None:
    emulator = ("qemu-aarch64", "-cpu", processor)
    assert written(tmp_path, "aarch64-linux-gnu-gcc", "-static", emulator=emulator) == EXPECTED


def test_under_the_address_and_undefined_behaviour_sanitizers(tmp_path: Path) -> None:
    sanitizers = ["-g", "-DQEIL_NO_CLONES", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    build = subprocess.run(
        ["cc", *sanitizers, str(probe), "-o", str(tmp_path / "probe")], capture_output=True
    )
    if build.returncode:
        pytest.skip("the compiler has no sanitizers")
    assert written(tmp_path, "cc", *sanitizers) == EXPECTED
