"""The codec's benchmark: its arithmetic, and a run of its parts on a handful of frames."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from support import REPO

from bench import codec, codec_hostile, codec_size, codec_temporal
from bench.codec_curve import Line, best, bytes_at, join, saving
from bench.codec_cut import Cut, halves, views
from qeil_ros.models.datasets import Example
from qeil_ros.models.folder import ModelFolder
from tools import write_codec_docs


def line(name: str, sizes: list[float], scores: list[float], frames: int = 100) -> Line:
    right = [[1.0] * round(score * frames) + [0.0] * (frames - round(score * frames)) for score in scores]
    return Line(name, [""] * len(sizes), np.repeat(np.array(sizes)[:, None], frames, axis=1), np.array(right))


# ---------------------------------------------------------------- where a curve meets a score


def test_bytes_at_a_score_lie_between_the_points_on_the_logarithm():
    sizes, scores = np.array([400.0, 100.0]), np.array([1.0, 0.8])
    assert bytes_at(sizes, scores, 0.9) == pytest.approx(200)
    assert bytes_at(sizes, scores, 1.0) == pytest.approx(400)


def test_a_score_that_no_point_reaches_takes_infinite_bytes():
    assert bytes_at(np.array([10.0, 20.0]), np.array([0.1, 0.2]), 0.3) == math.inf


def test_nothing_is_guessed_below_the_first_point():
    assert bytes_at(np.array([10.0, 20.0]), np.array([0.9, 0.95]), 0.5) == pytest.approx(10)


def test_a_point_of_more_bytes_and_a_lower_score_is_nobodys_choice():
    sizes = np.array([10.0, 20.0, 40.0])
    assert bytes_at(sizes, np.array([0.8, 0.9, 0.85]), 0.9) == pytest.approx(20)


def test_a_saving_compares_at_equal_score_and_knows_its_error():
    ours, theirs = line("ours", [50, 100], [0.8, 1.0]), line("theirs", [200, 400], [0.8, 1.0])
    found = saving(ours, theirs, 0.9)
    assert (found.ours, found.theirs) == (pytest.approx(70.7, abs=0.1), pytest.approx(282.8, abs=0.1))
    assert found.ratio == pytest.approx(0.25)
    assert found.error < 1e-9  # the same frames are right in both, so the draws move both alike
    assert best([theirs, ours], 0.9) is ours
    never = saving(ours, line("never", [1, 2], [0.1, 0.2]), 0.9)
    assert never.theirs == math.inf and math.isnan(never.ratio)


def test_the_error_of_a_saving_comes_from_the_frames():
    rng = np.random.default_rng(0)
    right = np.stack([rng.random(100) < share for share in (0.7, 0.97)]).astype(float)
    theirs = Line("theirs", ["", ""], np.repeat([[200.0], [400.0]], 100, axis=1), right)
    assert 0.001 < saving(line("ours", [50, 100], [0.8, 1.0]), theirs, 0.9).error < 0.2


def test_two_halves_make_one_line():
    both = join([line("a", [10, 20], [0.5, 1.0], 10), line("a", [30, 40], [0.0, 1.0], 10)])
    assert both.bytes_mean.tolist() == [20, 30] and both.score.tolist() == [0.25, 1.0]
    assert halves(5) == ([0, 2, 4], [1, 3])


def test_views_are_of_the_picture():
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    seen = [example.pixels for example in views([Example("one", pixels)])]
    assert len(seen) == 6 and np.array_equal(seen[0], pixels)
    assert np.array_equal(seen[1][:, 0], pixels[:, -1])
    assert np.array_equal(seen[5], pixels[2:, 3:])


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("bits", [4, 8])
def test_every_way_to_send_a_tensor_brings_it_back(dtype, bits):
    for package in ("blosc2", "constriction", "lz4", "torch", "zstandard"):
        pytest.importorskip(package)
    x = np.clip(np.random.default_rng(0).normal(40, 20, (32, 20)), 0, 255).astype(dtype)
    ways = codec_size.tensor_ways(bits, -1, [x])
    found = codec_size.measure(ways, [x], 3)
    for way in found:
        lossless = way.name == "memcpy" or (dtype == "uint8" and bits == 8)
        assert way.snr_db is not None
        assert way.snr_db == math.inf if lossless else way.snr_db > (12 if bits == 4 else 30), way.name
        assert way.encode_us > 0 and way.decode_us > 0
    names = [result.name for result in codec_size.rows("tensor", found)]
    assert names == ["tensor_bytes", "tensor_encode", "tensor_decode", "tensor_memcpy"]
    json.dumps([way.to_json() for way in found], allow_nan=False)


# ---------------------------------------------------------------- recordings


def test_bytes_at_an_error_follow_the_power_law():
    errors = [1.0, 4.0, 16.0]
    sizes = [100 / error**0.5 for error in errors]
    for wanted in (0.5, 2.0, 30.0):
        assert codec_temporal.log_interpolated(errors, sizes, wanted) == pytest.approx(100 / wanted**0.5)


def test_the_operating_point_is_the_cheapest_that_keeps_the_score():
    one = codec_temporal.Sequenced("a", 10, 2, 10.0, 100.0, 50.0, 60.0, 0.1, 0.5)
    two, three = (dataclasses.replace(one, intra=intra, score=0.95) for intra in (300.0, 200.0))
    assert codec_temporal.operating_point([one, two, three], 0.9) is three
    assert codec_temporal.operating_point([one], 0.9) is one


def test_differences_save_where_things_slide():
    folder = ModelFolder.load("tabletop")
    cut = Cut.of(folder, "", list(codec_temporal.sliding(6)))
    found = codec_temporal.compare("sliding", cut, 3)
    assert 0.2 < found.saved_late < found.saved < 1 and found.key == pytest.approx(1 / 6)


def test_a_video_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="reads no frame"):
        codec_temporal.video(tmp_path / "nothing.mp4", 3)


# ---------------------------------------------------------------- hostile input


def test_the_recorded_run_of_the_fuzzer_is_held_to_its_target(tmp_path, monkeypatch):
    target = {"target": "stream", "inputs": 500, "findings": 0, "memory_growth_bytes": 1_000_000}
    monkeypatch.setattr(codec_hostile, "_run", lambda inputs: [target])
    recorded = tmp_path / "fuzz.json"
    assert [r.met for r in codec_hostile.results(500, recorded)] == [None, True, False, False, False]
    recorded.write_text(json.dumps([{**target, "inputs": 6_000_000}, {**target, "inputs": 5_000_000}]))
    assert [r.met for r in codec_hostile.results(500, recorded)] == [None, True, True, True, True]
    recorded.write_text(json.dumps([{**target, "inputs": 10_000_000, "findings": 1}]))
    assert [r.met for r in codec_hostile.results(500, recorded)] == [None, True, True, False, True]


# ---------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """A run on a handful of scenes, with the data's photos where there are any, without the kernels."""
    for package in ("blosc2", "constriction", "lz4", "torch", "zstandard", "PIL"):
        pytest.importorskip(package)
    tiny = dataclasses.replace(
        codec.Effort.of(True),
        scenes=8,
        training_scenes=80,
        packed=(2,),
        fineness=(3,),
        basis_fineness=(1.5, 2.5),
        qualities=(40,),
        photos=2,
        photo_fineness=(4,),
        photo_qualities=(50,),
        frames=3,
        hostile=60,
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(codec.Effort, "of", classmethod(lambda cls, quick: tiny))
        patched.setattr(codec, "KERNELS", ("entropy",))
        patched.setattr("bench.entropy.results", lambda quick: [])
        report = codec.run(quick=True)
    picture = tmp_path_factory.mktemp("plot") / "codec.png"
    codec.draw(report, picture)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    return json.loads(json.dumps(report.to_json(), allow_nan=False))


@pytest.mark.timeout(300)
def test_a_run_holds_every_line_against_its_target(record):
    held = {r["name"]: r for r in record["results"] if r["target"]}
    assert {"tabletop_beside_jpeg", "tabletop_beside_jpeg_scan", "hostile_now_findings"} <= set(held)
    assert {"inter_tabletop_recording_saved", "inter_tabletop_sliding_saved"} <= set(held)
    assert any("donkeycar" in name for name in held) and any("video" in name for name in held)
    assert held["tabletop_beside_jpeg"]["target"] == "ratio <= 0.5"
    firsts = [bool(r["target"]) for r in record["results"]]
    assert firsts == sorted(firsts, reverse=True)  # those with a target come first
    assert record["curves"][0]["name"] == "tabletop" and record["sizes"] and record["sequences"]


def test_the_page_takes_its_figures_from_a_record(record):
    text = write_codec_docs.figures(record)
    assert "| rans, basis |" in text and "jpeg 4:2:0 optimized, scan" in text
    before = (REPO / "docs" / "codec.md").read_text()
    after = write_codec_docs.page(before, record)
    assert text in after and write_codec_docs.page(after, record) == after
    with pytest.raises(ValueError, match="lacks"):
        write_codec_docs.page("nothing", record)


def test_the_page_has_what_was_recorded():
    if not write_codec_docs.RECORDED.is_file():
        pytest.skip("no run of `python -m bench codec` is recorded")
    recorded = json.loads(write_codec_docs.RECORDED.read_text())
    page = write_codec_docs.PAGE.read_text()
    assert page == write_codec_docs.page(page, recorded), "run: python tools/write_codec_docs.py"
