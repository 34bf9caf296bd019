"""Data for the models of `tiny_models`: `import tiny_data`."""

from __future__ import annotations

import tiny_models

COLOURS = ("red", "green", "blue")


def pictures(truth: str = "labels", count: int = 12):
    """Pictures of one colour each; the first one's truth is wrong, the last one has none."""
    from qeil_ros.models.datasets import Dataset, Example

    names = [COLOURS[index % 3] for index in range(count)]
    true = [("blue",), *((name,) for name in names[1:-1]), ()]
    examples = [
        Example(str(index), tiny_models.picture(name), **{truth: true[index]})
        for index, name in enumerate(names)
    ]
    return Dataset("colours", [lambda e=example: e for example in examples])
