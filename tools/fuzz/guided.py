"""Coverage-guided search with Atheris (libFuzzer): `python -m tools.fuzz.guided TARGET [libFuzzer options]`.

Example: python -m tools.fuzz.guided stream -runs=100000

Atheris is not among the test tools, since it is not built for every Python: pip install atheris. It sees the
branches of the Python that parses; the kernels' memory is the business of `python -m tools.fuzz`.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path


def main() -> None:
    try:
        import atheris
    except ImportError as error:
        sys.exit(f"Atheris cannot be imported ({error}); try: pip install atheris")
    with atheris.instrument_imports(include=["qeil_ros.codec", "qeil_ros.models"]):
        from tools.fuzz.targets import TARGETS
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"say which target: {', '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]()

    def try_one(data: bytes) -> None:
        sealed = bytearray(data)
        target.seal(sealed)
        with contextlib.suppress(*target.refusals):
            target.run(bytes(sealed))

    with tempfile.TemporaryDirectory() as seeds:
        for number, valid in enumerate(target.corpus()):
            (Path(seeds) / f"{number:04}").write_bytes(valid)
        atheris.Setup([*sys.argv, seeds], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
