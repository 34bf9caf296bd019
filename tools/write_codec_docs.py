"""Writes the figures of docs/codec.md from what `python -m bench codec` recorded; none is typed by hand.

python tools/write_codec_docs.py            # writes them between the page's two marks
python tools/write_codec_docs.py --check    # exit code 1 where they are not what was recorded
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
RECORDED = REPO / "bench" / "results" / "codec.json"
PAGE = REPO / "docs" / "codec.md"
sys.path.insert(0, str(REPO))

from tools.marked import replaced  # noqa: E402  this file is run as a script, too

_SIZED_BITS = 4


def figures(record: Mapping[str, Any]) -> str:
    """The page's figures, in Markdown, of a recorded run."""
    lines = [
        *_head(record),
        *_curves(record["curves"]),
        *_sizes(record["sizes"]),
        *_sequences(record["sequences"]),
        *_targets(record["results"]),
    ]
    return "\n".join(lines) + "\n"


def page(text: str, record: Mapping[str, Any]) -> str:
    """The page with the figures in place of those it has. ValueError: it lacks the marks."""
    return replaced(text, figures(record))


def _head(record: Mapping[str, Any]) -> Iterator[str]:
    machine, config = record["machine"], record["config"]
    yield (
        f"Written by `python tools/write_codec_docs.py` from `bench/results/codec.json`, measured on "
        f"{machine['processor']}, {machine['cores']} cores{', in a short run' if config['quick'] else ''}."
    )
    yield ""
    for left_out in config["skipped"]:
        yield f"Left out: {left_out}."
        yield ""


def _curves(curves: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "### Task score against bytes"
    yield ""
    yield (
        "Bytes a frame at which a line reaches the score: exact match for the default model on its frozen "
        "scenes, else agreement with the uncoded model. Pictures are cut to the model's input, compressed, "
        "and answered by the whole model on the server; *stripped* is a JPEG without headers and standard "
        "tables, *scan* its entropy-coded data alone. A dash: no point of the line reaches the score. The "
        "basis is learned from other pictures than those that are scored."
    )
    yield ""
    if (RECORDED.parent / "codec.png").is_file():
        yield "![score against bytes](../bench/results/codec.png)"
        yield ""
    for curve in curves:
        lines = [*curve["streams"], *curve["pictures"]]
        (frames,) = {line["frames"] for line in lines}
        error = (curve["wanted"] * (1 - curve["wanted"]) / frames) ** 0.5
        reached = f"{curve['score']} {curve['wanted']} (standard error {error:.3f})"
        yield f"*{curve['name']}*, {frames} frames, {reached}:"
        yield ""
        yield from _table(
            ("streams", "bytes", "pictures", "bytes"), _side_by_side(curve["streams"], curve["pictures"])
        )


def _side_by_side(
    streams: Sequence[Mapping[str, Any]], pictures: Sequence[Mapping[str, Any]]
) -> list[tuple[str, ...]]:
    columns = [
        [(line["name"], _number(line["bytes_at_wanted"])) for line in sorted(lines, key=_reached)]
        for lines in (streams, pictures)
    ]
    longest = max(map(len, columns))
    padded = [column + [("", "")] * (longest - len(column)) for column in columns]
    return [(*left, *right) for left, right in zip(*padded, strict=True)]


def _reached(line: Mapping[str, Any]) -> float:
    return float("inf") if line["bytes_at_wanted"] is None else float(line["bytes_at_wanted"])


def _sizes(sizes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    chosen = [entry for entry in sizes if entry["bits"] == _SIZED_BITS]
    if not chosen:
        return
    yield f"### Real features at {_SIZED_BITS} bits"
    yield ""
    yield (
        "Bytes a frame, and the median microseconds to encode and to decode. *Same step*: rounded to the "
        "nearest level, in the step of the uniform codes that the others compress, so that all lose about "
        "the same."
    )
    yield ""
    names = list(dict.fromkeys(way["name"] for entry in chosen for way in entry["ways"]))
    rows = [(name, *(_way(entry, name) for entry in chosen)) for name in names]
    yield from _table(("", *(entry["name"] for entry in chosen)), rows)


def _way(entry: Mapping[str, Any], name: str) -> str:
    for way in entry["ways"]:
        if way["name"] == name:
            bytes_mean, *times = (_number(way[key]) for key in ("bytes_mean", "encode_us", "decode_us"))
            return f"{bytes_mean}; {', '.join(times)}"
    return ""


def _sequences(sequences: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "### Differences between frames"
    yield ""
    yield (
        "Bytes a frame by itself and as a difference from the frame before, at the same squared error; "
        "*late*: where acknowledgements come back two frames late."
    )
    yield ""
    yield from _table(
        ("recording", "step of", "score", "by itself", "difference", "saved", "saved, late"),
        [
            (
                one["name"].removeprefix("inter_"),
                f"{one['bits']:g} bits",
                f"{one['score']:.2f}",
                _number(one["intra"]),
                _number(one["inter"]),
                f"{one['saved']:.0%}",
                f"{one['saved_late']:.0%}",
            )
            for one in sequences
        ],
    )


def _targets(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    held = [result for result in results if result["target"]]
    missed = [result for result in held if not result["met"]]
    yield f"Of {len(held)} targets {len(held) - len(missed)} were met{'; missed:' if missed else '.'}"
    yield ""
    if missed:
        yield from _table(
            ("figure", "value", "peer", "ratio", "target"),
            [
                (
                    r["name"],
                    f"{_number(r['value'])} {r['unit']}".strip(),
                    f"{r['peer']}: {_number(r['peer_value'])}" if r["peer"] else "",
                    "" if r["ratio"] is None else f"{r['ratio']:.2f}",
                    r["target"].strip(),
                )
                for r in missed
            ],
        )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (heads, ["---"] * len(heads), *rows):
        yield re.sub(r" +", " ", f"| {' | '.join(row)} |")
    yield ""


def main(arguments: Sequence[str]) -> int:
    if set(arguments) - {"--check"}:
        print(__doc__)
        return 2
    if not RECORDED.is_file():
        print(f"no recorded figures in {RECORDED}; run `python -m bench codec` first", file=sys.stderr)
        return 2
    before = PAGE.read_text(encoding="utf-8")
    text = page(before, json.loads(RECORDED.read_text(encoding="utf-8")))
    if "--check" in arguments:
        print(f"{PAGE} {'has' if text == before else 'has not'} what {RECORDED.name} gives")
        return 0 if text == before else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
