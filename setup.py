"""Builds the kernels and puts the shared folders into the wheel; everything else is in pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
SHARED = ("launch", "config", "msg", "srv", "bench")


class BuildKernels(build_ext):
    """Says what to install when there is no compiler, instead of building a package without its kernels."""

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception as error:
            sys.stderr.write(
                f"\nqeil_ros: the kernels ({ext.sources[0]}) could not be compiled: {error}\n"
                "qeil_ros needs a C compiler and Python's headers, for example:\n"
                "    Debian, Ubuntu: sudo apt install build-essential python3-dev\n"
                "    Fedora:         sudo dnf install gcc python3-devel\n\n"
            )
            raise


def shared_packages() -> dict[str, str]:
    """The shared folders, subfolders too, as packages under qeil_ros.share."""
    folders = [ROOT / name for name in SHARED]
    folders += [path for folder in folders for path in folder.rglob("*") if path.is_dir()]
    relative = sorted(str(path.relative_to(ROOT)) for path in folders if path.name != "__pycache__")
    return {"qeil_ros.share." + path.replace("/", "."): path for path in relative}


shared = shared_packages()
setup(
    packages=[*find_packages(include=["qeil_ros", "qeil_ros.*"]), *shared],
    package_dir=shared,
    package_data={
        "qeil_ros": ["_kernels.pyi", "models/zoo/**/*"],
        **{name: ["*.xml", "*.yaml", "*.msg", "*.srv", "*.sdf", "*.json"] for name in shared},
    },
    exclude_package_data={"": ["*.pyx", "*.pxi", "*.c", "*.h"]},
    ext_modules=[
        Extension(
            "qeil_ros._kernels",
            ["qeil_ros/_kernels.pyx"],
            include_dirs=["qeil_ros/csrc"],
            depends=[
                str(path.relative_to(ROOT)) for path in sorted((ROOT / "qeil_ros" / "csrc").glob("*.*"))
            ],
            # Contraction into fused multiply-add would make the quantizer's bytes depend on the processor.
            libraries=["m"],
            extra_compile_args=["-O3", "-ffp-contract=off"],
        )
    ],
    cmdclass={"build_ext": BuildKernels},
)
