"""The kernels compiled with AddressSanitizer and UndefinedBehaviorSanitizer; and how to load them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "-g",
    "-O1",
    "-fno-omit-frame-pointer",
    "-ffp-contract=off",
    "-DNDEBUG",
    "-DCYTHON_WITHOUT_ASSERTIONS",
)
SANITIZE = "-fsanitize=address,undefined"
NOT_OURS = ("function", "alignment")
"""Cython's own code calls functions through other types and reads Python's objects unaligned."""


def build(directory: Path, compiler: str = os.environ.get("CC", "gcc")) -> Path:
    """Compiles the kernels into `directory`, unless they are there; returns the module's file.

    Raises CalledProcessError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    source, target = directory / "_kernels.c", directory / f"_kernels{sysconfig.get_config_var('EXT_SUFFIX')}"
    package = ROOT / "qeil_ros"
    sources = [package / "_kernels.pyx", *(package / "csrc").iterdir()]
    if target.is_file() and target.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return target
    cython = [sys.executable, "-m", "cython", "-3", "--module-name", "qeil_ros._kernels"]
    subprocess.run([*cython, str(package / "_kernels.pyx"), "-o", str(source)], check=True)
    include = [f"-I{sysconfig.get_paths()['include']}", f"-I{package / 'csrc'}"]
    command = [
        compiler,
        *FLAGS,
        SANITIZE,
        *_known(compiler),
        "-fno-sanitize-recover=undefined",
        "-fPIC",
        "-shared",
    ]
    draft = target.with_suffix(f".{os.getpid()}")  # a compiler that was stopped must not leave half a module
    subprocess.run([*command, *include, str(source), "-o", str(draft), "-lm"], check=True)
    return draft.replace(target)


def environment(compiler: str = os.environ.get("CC", "gcc")) -> dict[str, str]:
    """What a Python needs to load such a module: the sanitizer first, and leaks at exit left to Python."""
    name = "libclang_rt.asan.so" if "clang" in compiler else "libasan.so"
    found = subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    # A small quarantine: what was freed is watched for a while, but does not pass for a leak.
    options = "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:quarantine_size_mb=8"
    return {
        **os.environ,
        "LD_PRELOAD": found.stdout.strip(),
        "ASAN_OPTIONS": options,
        "PYTHONMALLOC": "malloc",
    }


def install(module: Path) -> None:
    """Makes `qeil_ros._kernels` that file. Before anything imports it."""
    if "qeil_ros._kernels" in sys.modules:
        raise RuntimeError("the usual kernels are loaded already")
    import qeil_ros

    spec = importlib.util.spec_from_file_location("qeil_ros._kernels", module)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["qeil_ros._kernels"] = loaded
    spec.loader.exec_module(loaded)
    qeil_ros._kernels = loaded  # type: ignore[attr-defined]


def _known(compiler: str) -> tuple[str, ...]:
    """The flags of NOT_OURS that this compiler has."""
    have = []
    for flag in NOT_OURS:
        test = [compiler, "-fsanitize=undefined", f"-fno-sanitize={flag}", "-E", "-x", "c", "/dev/null"]
        if subprocess.run(test, capture_output=True, check=False).returncode == 0:
            have.append(f"-fno-sanitize={flag}")
    return tuple(have)
