"""An XML file as a tree whose elements know their line, so that every error can name it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from .description import LaunchError


@dataclass(eq=False)
class Element:
    tag: str
    attributes: dict[str, str]
    file: Path
    line: int
    children: list[Element] = field(default_factory=list)

    def error(self, message: str) -> LaunchError:
        return LaunchError(message, self.file, self.line)

    def all(self, tag: str) -> list[Element]:
        return [child for child in self.children if child.tag == tag]


def read_xml(path: Path) -> Element:
    """The root element of a file. LaunchError where it cannot be read or is not well-formed."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LaunchError(f"cannot read the launch file: {error.strerror}", path) from error
    roots: list[Element] = []
    open_elements: list[Element] = []
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, path, parser.CurrentLineNumber)
        (open_elements[-1].children if open_elements else roots).append(element)
        open_elements.append(element)

    def text(data: str) -> None:
        if data.strip():
            parent = open_elements[-1]
            message = f"text {data.strip()[:40]!r} inside <{parent.tag}>; values belong in attributes"
            raise LaunchError(message, path, parser.CurrentLineNumber)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda tag: open_elements.pop()
    parser.CharacterDataHandler = text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise LaunchError(
            f"not well-formed XML: {expat.errors.messages[error.code]}", path, error.lineno
        ) from error
    return roots[0]
