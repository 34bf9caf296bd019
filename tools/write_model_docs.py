"""Writes docs/models.md from what `python -m bench models pruning` recorded; no figure is typed by hand.

python tools/write_model_docs.py            # writes the page
python tools/write_model_docs.py --check    # exit code 1 where the page is not what the figures give
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
RECORDED = REPO / "bench" / "results" / "models.json"
PRUNED = REPO / "bench" / "results" / "pruning.json"
PAGE = REPO / "docs" / "models.md"

_WHO = {"offboard": "server part", "local": "robot alone"}
_SCORES = (
    "exact_match",
    "top_1",
    "top_5",
    "map",
    "ap50",
    "cider",
    "bleu_4",
    "cosine",
    "agreement",
    "agreement_map",
)


def page(record: Mapping[str, Any], pruned: Mapping[str, Any]) -> str:
    """The page, in Markdown, of recorded runs; `pruned`: of `pruning`."""
    models = _models(record["models"], pruned["curves"])
    return "\n".join([*_head(record), *_targets(record["results"]), *models]) + "\n"


def _head(record: Mapping[str, Any]) -> Iterator[str]:
    machine, config = record["machine"], record["config"]
    yield "# Models"
    yield ""
    yield (
        "What each model is, where it can be cut, and what cuts and bits cost. Written by "
        "`python tools/write_model_docs.py` from `bench/results`; run `python -m bench models pruning` "
        "to measure anew, `qeil evaluate MODEL DATA` for a model and data of your own."
    )
    yield ""
    yield (
        f"Measured on {machine['processor']}, {machine['cores']} cores, one thread a part"
        f"{', a short run' if config['quick'] else ''}. Times are medians a frame. Scores are followed by "
        "their standard error. *Agreement* is the share of frames whose answer is the uncoded model's own; "
        "it needs no truth. Weights of a stated width are those of the agent part, *stored* is the part as "
        "its file has it."
    )
    yield ""


def _targets(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Targets"
    yield ""
    yield from _table(
        ("figure", "value", "target", ""),
        [
            (
                r["name"],
                f"{_number(r['value'])} {r['unit']}".strip(),
                (r["target"] or "").strip(),
                {True: "met", False: "**missed**", None: ""}[r["met"]],
            )
            for r in results
        ],
    )


def _models(models: Mapping[str, Any], curves: Mapping[str, Any]) -> Iterator[str]:
    for name, model in models.items():
        yield f"## {name}"
        yield ""
        if model["description"]:
            yield f"{model['description']}."
            yield ""
        width, height = model["input"]
        yield f"* Task: {model['task']}, {width} x {height} pixels"
        yield f"* Licence: {model['licence']}"
        yield f"* How to get it: {model['get']}"
        yield ""
        yield from _table(
            ("part", "file", "bytes"),
            [(part, f"`{what['file']}`", f"{what['bytes']:,}") for part, what in model["parts"].items()],
        )
        yield from _cuts(model["cuts"])
        for table in model["tables"]:
            yield from _scores(table)
        yield from _weights(model.get("weights", ()))
        yield from _pruned(curves.get(name, ()))


def _weights(points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Exact match by quantizer and width."""
    if not points:
        return
    widths = sorted({point["bits"] for point in points})
    rows: dict[tuple[str, str, bool], dict[int, str]] = {}
    for point in points:
        key = (point["quantizer"], point["granularity"], point["calibrated"])
        match = point["exact_match"]
        rows.setdefault(key, {})[point["bits"]] = "" if match is None else f"{match:.3f}"
    yield "Exact match by how the agent part's weights are stored, features not coded, by bits a weight:"
    yield ""
    yield from _table(
        ("quantizer", "by", "rounding", *map(str, widths)),
        [
            (f"`{name}`", by, "calibrated" if calibrated else "nearest", *(row.get(b, "") for b in widths))
            for (name, by, calibrated), row in rows.items()
        ],
    )


def _pruned(points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The curve of `qeil prune`."""
    if not points:
        return
    yield (
        "Pruned without training (`qeil prune`). Speed is that of the pruned graph over the unpruned one's, "
        "one thread; deflated: what a file full of zeros packs into."
    )
    yield ""
    heads = ("taken out", points[0]["score_name"].replace("_", " "), "weights left", "not zero")
    yield from _table(
        (*heads, "float32 KiB", "deflated", "speed", "int8 KiB", "deflated", "speed"),
        [
            (
                point["plan"] or "nothing",
                _score(point["score"]),
                f"{point['weights']:.0%}",
                f"{point['nonzero']:.0%}",
                *(f"{point[key] / 1024:.0f}" for key in ("file_bytes", "zip_bytes")),
                f"{point['speed']:.2f}",
                *(f"{point[key] / 1024:.0f}" for key in ("int8_bytes", "int8_zip_bytes")),
                f"{point['int8_speed']:.2f}",
            )
            for point in points
        ],
    )


def _cuts(cuts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not cuts:
        return
    yield "Cuts at the local minima of bytes (`qeil split --list` shows all):"
    yield ""
    rows = []
    for cut in cuts:
        sizes = [f"{cut['bytes'][bits] / 1024:.1f}" for bits in ("8", "4", "2")]
        sides = [_side(cut[side]) for side in ("agent", "server")]
        rows.append((f"`{cut['name']}`", _times(cut["shape"]), cut["dtype"], *sizes, *sides))
    heads = (
        "cut",
        "shape",
        "type",
        "8 bits KiB",
        "4 bits",
        "2 bits",
        "agent MFLOP, weights",
        "server MFLOP, weights",
    )
    yield from _table(heads, rows)


def _side(cost: Mapping[str, Any]) -> str:
    return f"{cost['flops'] / 1e6:.0f}, {cost['weight_bytes'] / 1024:.0f} KiB"


def _scores(table: Mapping[str, Any]) -> Iterator[str]:
    names = [name for name in _SCORES if any(name in row["scores"] for row in table["rows"])]
    yield f"On {table['dataset']} ({table['frames']} frames):"
    yield ""
    rows = [
        (
            row["split"],
            _WHO[row["source"]],
            str(row["weight_bits"] or "stored"),
            str(row["feature_bits"] or ("uncoded" if row["source"] == "offboard" else "")),
            *(_score(row["scores"].get(name)) for name in names),
            f"{row['bytes_mean']:.0f}" if row["source"] == "offboard" else "none",
            f"{row['distortion']:.4f}" if row["feature_bits"] else "",
            *(_ms(row[key]) for key in ("agent_ms", "encode_ms", "decode_ms", "answer_ms")),
        )
        for row in table["rows"]
    ]
    heads = ("cut", "answered by", "weights", "features", *(n.replace("_", " ") for n in names), "bytes")
    yield from _table((*heads, "distortion", "agent ms", "encode", "decode", "answer"), rows)
    for note in table["notes"]:
        yield f"Not measured: {note}."
        yield ""


def _score(score: Mapping[str, Any] | None) -> str:
    if score is None or score["value"] is None:
        return ""
    return f"{score['value']:.3f}" + ("" if score["error"] is None else f" ± {score['error']:.3f}")


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def main(arguments: Sequence[str]) -> int:
    if set(arguments) - {"--check"}:
        print(__doc__)
        return 2
    for name in (RECORDED, PRUNED):
        if not name.is_file():
            print(f"no recorded figures in {name}; run `python -m bench {name.stem}` first", file=sys.stderr)
            return 2
    text = page(*(json.loads(file.read_text(encoding="utf-8")) for file in (RECORDED, PRUNED)))
    if "--check" in arguments:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
        print(f"{PAGE} {'is' if same else 'is not'} what {RECORDED.name} gives")
        return 0 if same else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
