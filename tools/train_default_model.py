#!/usr/bin/env python3
"""Draw scenes, train the tabletop captioner, export its parts, score them, make its recording.

example:
    python tools/train_default_model.py           # everything; an interrupted run goes on where it was
    python tools/train_default_model.py --quick   # the whole way in a minute, into build/tabletop/quick
    python tools/train_default_model.py --only score  # one stage again

Needs torch, onnx and onnxscript (pip install 'qeil-ros[torch]') and the built kernels; two cores train it
in three quarters of an hour. The samples take 2.2 GB in --work.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# The loops bring their own parallelism; threads inside such small matrix products only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

STAGES = ("samples", "captioner", "local", "export", "pack", "basis", "recording", "score")
ZOO = ROOT / "qeil_ros" / "models" / "zoo" / "tabletop"
WORK = ROOT / "build" / "tabletop"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help=f"model folder to write (default: {ZOO.relative_to(ROOT)})")
    parser.add_argument(
        "--work", type=Path, default=WORK, help="samples and checkpoints (default: build/tabletop)"
    )
    parser.add_argument("--scenes", type=int, default=160_000, help="scenes to draw (default: %(default)s)")
    parser.add_argument(
        "--samples", type=int, default=691_200, help="to train on, scenes repeat (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of weights and batches (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 2, help="processes that draw (default: cores)"
    )
    parser.add_argument(
        "--only", choices=STAGES, action="append", help="run this stage alone; may be repeated"
    )
    parser.add_argument(
        "--quick", action="store_true", help="little of everything, to see that the way is whole"
    )
    options = parser.parse_args()
    if options.quick:
        options.scenes, options.samples = 1_000, 5_000
        options.work = options.work / "quick"
        options.out = options.out or options.work / "model"
    options.out = options.out or ZOO
    try:
        from tools.tabletop.pipeline import Plan, run
    except ModuleNotFoundError as error:
        parser.exit(
            1, f"{parser.prog}: {error}; install with: pip install 'qeil-ros[torch]', and build the kernels\n"
        )
    run(
        Plan(
            out=options.out,
            work=options.work,
            scenes=options.scenes,
            samples=options.samples,
            seed=options.seed,
            workers=options.workers,
            frozen=100 if options.quick else 1000,
            frames=40 if options.quick else 360,
        ),
        options.only or STAGES,
    )


if __name__ == "__main__":
    main()
