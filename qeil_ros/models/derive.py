"""A model folder made from another one: its model.yaml as a mapping, and the files that it names."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

from .folder import ModelFolder
from .schema import ModelError

__all__ = ["copy_files", "document"]


def document(folder: ModelFolder) -> dict[str, Any]:
    """The folder's model.yaml as it stands there."""
    found: dict[str, Any] = yaml.safe_load((folder.path / "model.yaml").read_text(encoding="utf-8"))
    return found


def copy_files(folder: ModelFolder, document: dict[str, Any], draft: Path, without: Collection[str]) -> None:
    """Copies what `document` names from `folder` to `draft`, but for the files that are there already.

    Raises:
        ModelError: a file cannot be copied.
    """
    for name in sorted(set(_files(document)) - set(without)):
        source, target = folder.path / name, draft / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)
        except OSError as error:
            raise ModelError(f"{source}: cannot be copied: {error.strerror}") from error


def _files(value: Any) -> Iterator[str]:
    """Names of files that a model.yaml tells."""
    if isinstance(value, dict):
        for key, entry in value.items():
            if key in ("file", "vocabulary", "labels") and isinstance(entry, str):
                yield entry
            elif key != "scores":
                yield from _files(entry)
