"""Pages that are partly written by a program: between two marks."""

from __future__ import annotations

BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"


def replaced(text: str, figures: str) -> str:
    """The page with the figures in place of those it has. ValueError: it lacks the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN.strip()!r} or {END.strip()!r}")
    return before + begin + figures + end + after
