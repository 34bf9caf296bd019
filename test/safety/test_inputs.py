"""The screen of images: what it finds, and what it must leave alone."""

from __future__ import annotations

import math
from itertools import cycle, islice

import cv2
import numpy as np
import pytest

from qeil_ros.safety.inputs import Expected, ImageScreen, Problem, ScreenConfig

SIDE = 64
PLAIN = Expected((1, 3, SIDE, SIDE), "uint8", (1.0,) * 3, (0.0,) * 3)
FLOAT = Expected((1, SIDE, SIDE, 3), "float32", (0.02, 0.02, 0.02), (-2.0, -2.0, -2.0), channels_last=True)


def scene(rng: np.random.Generator, noise: float = 0.5) -> np.ndarray:
    """A picture with flat places, edges and texture, and the camera's noise: [H, W, 3] from 0 to 255."""
    picture = np.full((SIDE, SIDE, 3), 90.0)
    picture[40:] = 150.0
    picture[8:24, 8:24] = 30.0
    picture[20:60, 36:60] += 60.0 * rng.random((40, 24, 1))
    return np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255)


def planes(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.rint(picture).astype(np.uint8).transpose(2, 0, 1)[None])


def problems(screen: ImageScreen, image: np.ndarray, now_s: float = 0.0, stamp_ns: int = 0) -> list[Problem]:
    return [found.problem for found in screen.check(image, now_s, stamp_ns)]


def watched(rng: np.random.Generator, frames: int = 40) -> ImageScreen:
    screen = ImageScreen(PLAIN)
    for number in range(frames):
        assert problems(screen, planes(scene(rng)), number / 30) == []
    return screen


def test_a_camera_is_left_alone():
    watched(np.random.default_rng(0), 300)


@pytest.mark.parametrize("eps", [2, 4, 8])
def test_noise_that_the_camera_never_made(eps):
    rng = np.random.default_rng(eps)
    screen = watched(rng)
    attacked = np.clip(scene(rng) + rng.choice([-eps, eps], (SIDE, SIDE, 3)), 0, 255)
    (found,) = screen.check(planes(attacked), 2.0)
    assert found.problem is Problem.ADVERSARIAL and "this camera's" in found.reason
    assert screen.noise == pytest.approx(eps, rel=0.45)


def test_without_a_past_only_strong_noise_is_known():
    rng = np.random.default_rng(1)
    attacked = np.clip(scene(rng) + rng.choice([-8, 8], (SIDE, SIDE, 3)), 0, 255)
    (found,) = ImageScreen(PLAIN).check(planes(attacked), 0.0)
    assert found.problem is Problem.ADVERSARIAL and "any picture's" in found.reason


def test_dusk_is_taken_in_but_an_attack_that_goes_on_is_not():
    rng = np.random.default_rng(2)
    screen = watched(rng)
    for number in range(1500):
        found = problems(screen, planes(scene(rng, 0.5 + number / 2000)), 2 + number / 30)
        assert found == [], number
    screen = watched(rng)
    loud = [planes(scene(rng, 4.0)) for _ in range(20)]
    flagged = [problems(screen, image, 2.0) for image in islice(cycle(loud), 400)]
    assert all(Problem.ADVERSARIAL in found for found in flagged)


def test_a_camera_without_colour():
    rng = np.random.default_rng(10)

    def grey(noise: float) -> np.ndarray:
        image = planes(scene(rng, noise))
        image[0, 1:] = image[0, 0]
        return image

    screen = ImageScreen(PLAIN)
    assert [problems(screen, grey(0.5)) for _ in range(40)] == [[]] * 40
    assert problems(screen, grey(4.0)) == [Problem.ADVERSARIAL]
    assert problems(ImageScreen(PLAIN), grey(4.0)) == [], "without a past it may be texture"


def test_a_covered_lens_and_a_dead_sensor():
    rng = np.random.default_rng(3)
    for picture in (np.zeros((SIDE, SIDE, 3)), rng.normal(3.0, 0.7, (SIDE, SIDE, 3)).clip(0, 7)):
        (found,) = ImageScreen(PLAIN).check(planes(picture), 0.0)
        assert found.problem is Problem.BLANK and "bit of entropy" in found.reason
    (found,) = ImageScreen(PLAIN).check(planes(rng.uniform(0, 255, (SIDE, SIDE, 3))), 0.0)
    assert found.problem is Problem.NOISE and "no picture" in found.reason


def test_values_in_the_models_own_units():
    rng = np.random.default_rng(4)
    screen = ImageScreen(FLOAT)
    image = (scene(rng, 1.0) * 0.02 - 2.0).astype(np.float32)[None]
    assert problems(screen, image) == []
    assert screen.noise == pytest.approx(1.0, rel=0.5) and screen.entropy_bits > 1
    for wrong in (math.nan, math.inf, 3.2, -2.1):
        bad = image.copy()
        bad[0] = wrong
        (found,) = screen.check(bad, 0.0)
        assert found.problem is Problem.RANGE and "want -2" in found.reason
    for bad in (image[:, :32], image.astype(np.float64), image.transpose(0, 3, 1, 2)):
        (found,) = screen.check(bad, 0.0)
        assert found.problem is Problem.RANGE and "want float32 [1, 64, 64, 3]" in found.reason


def test_one_channel_and_tiny_images():
    rng = np.random.default_rng(5)
    for side in (1, 2, 3, 7, 11, 33, 34, 500):
        screen = ImageScreen(Expected((1, 1, side, side), "uint8", (1.0,), (0.0,)))
        image = rng.integers(0, 256, (1, 1, side, side)).astype(np.uint8)
        screen.check(image, 0.0)
        assert not math.isnan(screen.entropy_bits) and math.isnan(screen.noise) == (side < 34)
    with pytest.raises(ValueError, match="want one each"):
        Expected((1, 3, 4, 4), "uint8", (1.0,), (0.0,))


def test_a_frozen_camera_and_one_that_goes_on():
    rng = np.random.default_rng(6)
    screen, image = ImageScreen(PLAIN, ScreenConfig(frozen_s=1.0)), planes(scene(rng))
    found = [problems(screen, image, number / 10) for number in range(15)]
    assert found[:10] == [[]] * 10 and found[10:] == [[Problem.FROZEN]] * 5
    assert problems(screen, planes(scene(rng)), 1.6) == []
    assert problems(screen, image, 9.0) == [], "an image may come back"
    for_ever = ImageScreen(PLAIN, ScreenConfig(frozen_s=0.0))
    assert [problems(for_ever, image, float(second)) for second in range(99)] == [[]] * 99


def test_a_recording_played_again():
    rng = np.random.default_rng(7)
    loop = [planes(scene(rng)) for _ in range(25)]
    screen = ImageScreen(PLAIN, ScreenConfig(replayed_frames=10))
    found = [problems(screen, image, number / 30) for number, image in enumerate(loop + loop)]
    assert found[:34] == [[]] * 34 and found[34:] == [[Problem.REPLAYED]] * 16
    assert "were there 25 images ago" in screen.check(loop[0], 2.0)[0].reason
    assert problems(screen, planes(scene(rng)), 2.1) == []


def test_no_more_is_remembered_than_asked_for():
    rng = np.random.default_rng(8)
    screen = ImageScreen(PLAIN, ScreenConfig(memory_frames=20, replayed_frames=3))
    loop = [planes(scene(rng)) for _ in range(25)]
    assert all(problems(screen, image) == [] for image in loop * 3)
    assert len(screen._seen) <= 20 and len(screen._order) <= 20


def test_stamps_that_go_back():
    rng = np.random.default_rng(9)
    screen = ImageScreen(PLAIN)
    stamps = [5_000_000_000, 5_100_000_000, 4_000_000_000, 4_100_000_000, 0, 0, 4_000_000_000]
    found = [problems(screen, planes(scene(rng)), n / 30, stamp) for n, stamp in enumerate(stamps)]
    assert found == [[], [], [Problem.REPLAYED], [], [], [], []]


@pytest.mark.parametrize("side", [64, 224])
def test_recorded_images_raise_next_to_no_alarm(data_dir, side):
    """28 photos of many cameras, each seen for the first time, and a drive of 38 frames."""
    expected = Expected((1, 3, side, side), "uint8", (1.0,) * 3, (0.0,) * 3)

    def prepared(image: np.ndarray) -> np.ndarray:
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(small.transpose(2, 0, 1)[None])

    photos = sorted((data_dir / "images" / "coco28").glob("*.jpg"))
    alarms = [path for path in photos if problems(ImageScreen(expected), prepared(cv2.imread(str(path))))]
    assert len(photos) == 28 and len(alarms) <= 1, alarms
    video, screen = cv2.VideoCapture(str(data_dir / "video" / "carnd_test_video.mp4")), ImageScreen(expected)
    number = 0
    while (read := video.read())[0]:
        number += 1
        assert problems(screen, prepared(read[1]), number / 25) == [], number
    assert number == 38
