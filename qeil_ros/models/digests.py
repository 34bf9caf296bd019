"""What a file, a folder or a value is, in one number: sha256."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

__all__ = ["canonical_sha256", "file_sha256", "folder_sha256", "part_sha256"]


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file, which need not fit into memory."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_sha256(path: Path) -> str:
    """sha256 (hex) over the sorted names and sha256s of the files below a folder, hidden ones left out."""
    files = [file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path))]
    if not files:
        raise FileNotFoundError(errno.ENOENT, "no such folder, or nothing in it", str(path))
    return canonical_sha256(sorted([file.relative_to(path).as_posix(), file_sha256(file)] for file in files))


def _hidden(relative: Path) -> bool:
    return any(piece.startswith(".") for piece in relative.parts)


def part_sha256(path: Path) -> str:
    """`folder_sha256` of a folder, `file_sha256` of anything else."""
    return folder_sha256(path) if path.is_dir() else file_sha256(path)


def canonical_sha256(value: object) -> str:
    """sha256 (hex) of a value of JSON, written in the one way that leaves no choice."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
