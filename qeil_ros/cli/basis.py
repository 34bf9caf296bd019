"""`qeil basis`: learns the basis in which a model's features take the fewest bytes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import CliError

if TYPE_CHECKING:
    from qeil_ros.models.rotate import Learned

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("basis")(basis)


def basis(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a model folder, or a shipped model's name")],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="folder of pictures, or recording, like what the robot sees")
    ],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="the model folder to make")],
    split: Annotated[str, typer.Option(help="the cut  [default: the model's]")] = "",
    components: Annotated[
        int | None, typer.Option(min=1, help="how many components travel  [default: all]")
    ] = None,
    topic: Annotated[str, typer.Option(help="of a recording with several image topics")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="pictures at most")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace DIR")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the figures here; - for the terminal")
    ] = None,
) -> None:
    """Learn the basis in which a model's features take the fewest bytes, and write the model with it.

    The channels of a feature map are correlated. Rotated into their principal components, which the robot
    does before coding and the receiver undoes after, the same quality takes a fraction of the bytes. No truth
    is needed, only pictures. Score the result on other pictures: qeil evaluate DIR DATA --coder rans.

    Example: qeil basis tabletop recording.mcap my-model
    """
    from rich.console import Console

    from qeil_ros.models.datasets import open_dataset
    from qeil_ros.models.folder import ModelFolder
    from qeil_ros.models.rotate import rotate

    from .evaluate import progress_bar

    try:
        folder = ModelFolder.load(model)
        dataset = open_dataset(data, limit=limit, topic=topic)
        with progress_bar() as bar:
            learned = rotate(
                folder,
                dataset,
                directory,
                split=split,
                components=components,
                overwrite=overwrite,
                progress=lambda done, total: bar(done, total, "features"),
            )
    except (ValueError, OSError) as error:
        raise CliError(str(error)) from error
    record = _record(learned, split)
    text = json.dumps(record, indent=1) + "\n"
    if json_file is not None and str(json_file) == "-":
        sys.stdout.write(text)
        return
    if json_file is not None:
        json_file.write_text(text, encoding="utf-8")
    Console(highlight=False).print(
        f"{directory}: {learned.components} of {len(learned.variance)} components, "
        f"{100 * learned.kept:.2f} % of the variance, learned from {learned.images} pictures; "
        f"coding gain {learned.gain_db:.1f} dB"
    )


def _record(learned: Learned, split: str) -> dict[str, object]:
    return {
        "model": str(learned.folder.path),
        "split": learned.folder.split(split).name,
        "images": learned.images,
        "channels": len(learned.variance),
        "components": learned.components,
        "kept_variance": learned.kept,
        "coding_gain_db": learned.gain_db,
        "variance": learned.variance.tolist(),
    }
