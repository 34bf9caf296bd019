from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.safety.thermal import ThermalModel


def heat(model, *, tau_s=80.0, gain=4.0, ambient_c=30.0, until_s=600.0, step_s=1.0, noise_c=0.0, load=None):
    """Feeds a model from a plant whose load alternates; the plant's last temperature."""
    rng = np.random.default_rng(1)
    value_c = ambient_c
    load = load or (lambda now_s: 10.0 if now_s % 200 < 100 else 4.0)
    for i in range(int(until_s / step_s)):
        u = load(i * step_s)
        value_c += (ambient_c + gain * u - value_c) * -math.expm1(-step_s / tau_s)
        model.add(value_c + rng.normal(0, noise_c), u, (i + 1) * step_s)
    return value_c


@pytest.mark.parametrize("tau_s", [10.0, 45.0, 80.0, 256.0])
@pytest.mark.parametrize("noise_c", [0.0, 0.3])
def test_it_finds_the_plant(tau_s, noise_c):
    model = ThermalModel()
    period_s = max(200.0, 3 * tau_s)
    value_c = heat(
        model,
        tau_s=tau_s,
        noise_c=noise_c,
        until_s=4.5 * period_s,
        load=lambda now_s: 10.0 if now_s % period_s < period_s / 2 else 4.0,
    )
    assert model.identified
    assert tau_s / 1.7 < model.tau_s < 1.7 * tau_s
    assert model.gain == pytest.approx(4.0, rel=0.3)
    ahead_c = 70.0 + (value_c - 70.0) * math.exp(-10.0 / tau_s)
    assert model.forecast_c(10.0, load=10.0) == pytest.approx(ahead_c, abs=0.7 + 3 * noise_c)


def test_spacing_of_the_samples_does_not_matter():
    for step_s in (0.2, 1.0, 5.0, 20.0):
        model = ThermalModel()
        heat(model, step_s=step_s)
        assert model.gain == pytest.approx(4.0, rel=0.15)
        assert 50 < model.tau_s < 130


def test_constant_load_identifies_nothing_but_is_forecast():
    model = ThermalModel()
    value_c = heat(model, load=lambda now_s: 6.0, until_s=60.0)
    assert not model.identified and math.isnan(model.most_load(80.0, 60.0))
    assert model.forecast_c(10.0) == pytest.approx(54.0 + (value_c - 54.0) * math.exp(-1 / 8), abs=1.0)


def test_load_that_reaches_the_target_is_the_one_it_says():
    model = ThermalModel()
    heat(model)
    most = model.most_load(60.0, 1e6)
    assert most == pytest.approx((60.0 - 30.0) / 4.0, rel=0.1)
    assert model.equilibrium_c(most) == pytest.approx(60.0, abs=0.1)
    soon = model.most_load(60.0, 20.0)
    assert model.forecast_c(20.0, load=soon) == pytest.approx(60.0, abs=0.1)


def test_ambient_that_moves_is_followed():
    model = ThermalModel()
    value_c = heat(model)
    for i in range(300):
        value_c += (45.0 + 4.0 * 5.0 - value_c) * -math.expm1(-1 / 80.0)
        model.add(value_c, 5.0, 601.0 + i)
    assert model.forecast_c(60.0) == pytest.approx(65.0, abs=0.7)
    assert model.gain == pytest.approx(4.0, rel=0.3), "the weather is not taken for the heat sink"


def test_nothing_and_nonsense():
    model = ThermalModel()
    assert math.isnan(model.forecast_c(10.0)) and math.isnan(model.equilibrium_c())
    assert not model.identified and math.isnan(model.most_load(80.0, 60.0))
    model.add(math.nan, 1.0, 0.0)
    model.add(50.0, math.nan, 0.0)
    assert math.isnan(model.forecast_c(10.0))
    model.add(50.0, 1.0, 0.0)
    assert model.forecast_c(10.0) == pytest.approx(50.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.0, 200.0), st.floats(-55.0, 200.0), st.floats(0.0, 2000.0)),
        min_size=1,
        max_size=60,
    )
)
def test_it_stays_physical_whatever_it_is_fed(samples):
    model, now_s = ThermalModel(), 0.0
    for gap_s, value_c, load in samples:
        now_s += gap_s
        model.add(value_c, load, now_s)
        assert model.tau_s > 0 and model.gain >= 0 and math.isfinite(model.gain)
        assert math.isfinite(model.forecast_c(10.0))
        assert not model.identified or math.isfinite(model.most_load(80.0, 60.0))
