"""The kernels' C, built for other processors and optimisation levels, writes the same bytes everywhere."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
HEADERS = HERE.parents[1] / "qeil_ros" / "csrc"
GOLDEN = HERE.parent / "golden" / "codec"
PROGRAMS = sorted(path.stem for path in HERE.glob("portable_*.c"))
X86 = platform.machine() == "x86_64"


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def check(name: str, tmp_path: Path, compiler: str, *flags: str, emulator: tuple[str, ...] = ()) -> None:
    """The program, built with these flags and those of setup.py, prints what is recorded."""
    for tool in (compiler, *emulator[:1]):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    program = tmp_path / name
    sources = [f"-I{HEADERS}", str(HERE / f"{name}.c"), "-o", str(program), "-lm"]
    build = [compiler, "-O3", "-ffp-contract=off", *flags, *sources]
    subprocess.run(build, check=True, timeout=120)
    run = subprocess.run([*emulator, str(program)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("flags", [["-O0"], ["-O2"], ["-O3"], ["-O3", "-march=native", "-DQEIL_NO_CLONES"]])
def test_every_optimisation_level(program: str, tmp_path: Path, flags: list[str]) -> None:
    check(program, tmp_path, "cc", *flags)


@pytest.mark.skipif(not X86, reason="the levels of x86-64")
@pytest.mark.parametrize("level", ["x86-64", "x86-64-v2", "x86-64-v3"])
def test_every_level_of_x86(program: str, tmp_path: Path, level: str) -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if level == "x86-64-v3" and " avx2 " not in flags:
        pytest.skip("this processor has no AVX2")
    check(program, tmp_path, "gcc", f"-march={level}", "-DQEIL_NO_CLONES")


def test_clang(program: str, tmp_path: Path) -> None:
    check(program, tmp_path, "clang")


@pytest.mark.parametrize("processor", ["cortex-a53", "max"])
def test_arm64_emulated(program: str, tmp_path: Path, processor: str) -> None:
    emulator = ("qemu-aarch64", "-cpu", processor)
    check(program, tmp_path, "aarch64-linux-gnu-gcc", "-static", emulator=emulator)


def test_under_the_address_and_undefined_behaviour_sanitizers(program: str, tmp_path: Path) -> None:
    sanitizers = ["-g", "-DQEIL_NO_CLONES", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    build = subprocess.run(
        ["cc", *sanitizers, str(probe), "-o", str(tmp_path / "probe")], capture_output=True
    )
    if build.returncode:
        pytest.skip("the compiler has no sanitizers")
    check(program, tmp_path, "cc", *sanitizers)
