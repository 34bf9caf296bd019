"""Plan files: what is written is read again, and whatever is wrong in one is told by its place."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.planning import plain, plan_file
from qeil_ros.planning.cost import Cut, Side, WidthCurve
from qeil_ros.planning.device import Power
from qeil_ros.planning.link import Link, Load
from qeil_ros.planning.plan_file import FileError, Measure, PlanFile
from qeil_ros.planning.planner import Goals, Machines, Model, Planner

BITS = (2, 4, 8)


def plan() -> PlanFile:
    loss = np.add.outer(0.1 / np.array(BITS), 0.2 / np.array(BITS))
    model = Model(
        (
            Cut(
                "early", 2e8, 9e9, (20e3, 40e3, 80e3), loss / 3, loss=loss, floor=0.01, server_token_flop=1e6
            ),
            Cut(
                "early/local",
                3e9,
                0.0,
                (0.0,) * 3,
                np.zeros((3, 3)),
                loss=np.full((3, 3), 0.5),
                widths=WidthCurve((4, 8), (0.5, 1.0)),
            ),
        ),
        BITS,
        BITS,
        WidthCurve((4, 8), (0.7, 1.0)),
        tokens=3.5,
    )
    machines = Machines(
        ("low", "high"),
        Side((1 / 20e9, 1 / 60e9), (2.0, 15.0)),
        Side((1e-12,) * 2, (100.0,) * 2),
        clocks_hz=(6e8, 1.8e9),
    )
    goals = Goals(0.15, rates_hz=(5.0, 1.0))
    link, load = Link(5e6, 0.005), Load(alike=2)
    point = Planner(model, machines, goals).plan(plan_file.Readings(0.0, link, load)).point
    assert point is not None
    return PlanFile(
        "a model", "0f" * 32, Measure("exact_match"), model, machines, goals, link, point, load,
        Power("stated", "modelled"), Power(), ("the link is assumed",),
    )  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    plan_file.write(path, plan(), "made for a test")
    return path


def test_what_is_written_is_read_again(written: Path) -> None:
    found = plan_file.read(written)
    assert plain.to_plain(found) == plain.to_plain(plan())
    assert written.read_text().startswith("# made for a test\nformat: 1\n")
    assert [file.name for file in written.parent.iterdir()] == ["plan.yaml"]


def test_the_supervisor_plans_on_from_it(written: Path) -> None:
    found = plan_file.read(written)
    again = found.planner().plan(found.readings(0.0)).point
    assert again == found.point
    alone = found.planner().plan(replace(found.readings(0.0), link=None)).point
    assert alone is not None and not alone.offboard
    assert (alone.split, plan_file.split_of(alone.split)) == (plan_file.local_name("early"), "early")
    assert plan_file.split_of("early") == "early"
    assert found.machines.clock_hz(found.point.profile) in (6e8, 1.8e9)


def broken(written: Path, *keys: str | int, to: object = ..., rename: str = "") -> str:
    """What is said of the file with that entry changed, renamed, or taken out."""
    top = yaml.safe_load(written.read_text())
    holder = top
    for key in keys[:-1]:
        holder = holder[key]
    if rename:
        holder[rename] = holder.pop(keys[-1])
    elif to is ...:
        del holder[keys[-1]]
    else:
        holder[keys[-1]] = to
    written.write_text(yaml.safe_dump(top))
    with pytest.raises(FileError) as caught:
        plan_file.read(written)
    message = str(caught.value)
    assert message.startswith(f"{written}: ")
    return message.removeprefix(f"{written}: ")


@pytest.mark.parametrize(
    ("keys", "to", "said"),
    [
        (("format",), 2, "format: want 1, got 2"),
        (("format",), True, "format: want 1, got True"),
        (("model_digest",), "beef", "model_digest is 'beef'; want 64"),
        (("model", "cuts", 0, "agent_flop"), "fast", "model.cuts[0].agent_flop: want a number, got 'fast'"),
        (("model", "cuts", 0, "agent_flop"), True, "model.cuts[0].agent_flop: want a number, got True"),
        (("model", "cuts", 0, "agent_flop"), float("nan"), "agent_flop: want a number, got nan"),
        (("model", "cuts", 0, "agent_flop"), 10**400, "agent_flop: want a number, got 1000"),
        (("model", "cuts", 0, "agent_flop"), -1, "model.cuts[0]: cut 'early': agent_flop is -1"),
        (("model", "cuts", 0, "distortion"), [[1, 2], [3]], "distortion: want rows of one length"),
        (("model", "cuts", 0, "distortion"), [[1, "x"]], "distortion[0][1]: want a number, got 'x'"),
        (("model", "cuts", 0, "distortion"), [[[[[1]]]]], "lists in lists 5 deep"),
        (("model", "cuts", 0, "loss"), [[1.0]], "loss [1, 1]; want [3, 3]"),
        (("model", "cuts", 1, "name"), "early", "splits is ('early', 'early'); want one or more different"),
        (("model", "cuts"), {}, "model.cuts: want a list, got {}"),
        (("model", "cuts"), [], "0 x 3 x 3 x 2 points"),
        (("model", "weight_bits"), [2, 4, 9], "want 1 to 8 bits"),
        (("model", "weight_bits"), [2, 4.5, 8], "model.weight_bits[1]: want an integer, got 4.5"),
        (("model", "tokens"), 0, "0 tokens"),
        (("machines", "agent", "busy_w"), [1, -1], "machines.agent: busy_w is (1.0, -1.0)"),
        (("machines", "agent", "seconds_per_flop"), [1, float("inf")], "want positive, finite times"),
        (("machines", "clocks_hz"), [1e9], "machines: 1 clocks for the profiles"),
        (("goals", "delay_s"), 0, "goals: "),
        (("goals", "rates_hz"), [], "want one or more positive rates"),
        (("link", "loss"), 1, "link: loss is 1.0"),
        (("load", "alike"), 1.5, "load.alike: want an integer, got 1.5"),
        (("agent_power", "quality"), "good", "agent_power.quality: want one of none, measured, modelled"),
        (("point", "split"), "late", "point.split is 'late'; there are early, early/local"),
        (("point", "profile"), "turbo", "point.profile is 'turbo'; there are low, high"),
        (("point", "offboard"), 1, "point.offboard: want true or false, got 1"),
        (("notes",), "text", "notes: want a list, got 'text'"),
        (("model_name",), "x" * 5000, "model_name: want at most 4096 characters, got 5000"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_place(written: Path, keys, to, said) -> None:
    assert said in broken(written, *keys, to=to)


def test_missing_and_unknown_keys(written: Path) -> None:
    text = written.read_text()
    assert broken(written, "goals") == "goals: is missing"
    written.write_text(text)
    assert "goals.delay: is not a known key; known are delay_s, energy_j" in broken(
        written, "goals", "delay_s", rename="delay"
    )
    written.write_text(text)
    assert "link: want a mapping of keys to values, got 3" in broken(written, "link", to=3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "want a mapping"),
        ("- 1", "want a mapping"),
        ("a: [1", "is not YAML"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: !!python/object/apply:os.system ['true']", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("? {a: 1}\n: 2", "is not YAML"),
        ("\x00", "is not YAML"),
        ("#" * (plain.MAX_BYTES + 1), "is larger than"),
        ("a: " + "9" * 10_000, r"is not YAML|format: want 1"),
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(FileError, match=said):
        plan_file.read(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read: No such file"):
        plan_file.read(tmp_path / "none.yaml")
    with pytest.raises(FileError, match="cannot be read: Is a directory"):
        plan_file.read(tmp_path)


_TREE = yaml.safe_load(yaml.safe_dump(plain.to_plain(plan())))
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
)


def _paths(tree: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = [at] if at else []
    for key, entry in entries:
        found += _paths(entry, (*at, key))
    return found


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(_paths(_TREE)), _VALUES)
def test_any_value_anywhere_is_taken_or_refused_properly(keys, value) -> None:
    """No other exception; and what is taken can be planned with."""
    tree = copy.deepcopy(_TREE)
    holder = tree
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = value
    try:
        found = plain.from_plain(PlanFile, tree, "file:")
    except FileError:
        return
    found.planner().plan(found.readings(0.0))


def test_numbers_as_people_write_them(written: Path) -> None:
    text = written.read_text()
    written.write_text(text.replace("delay_s: 0.15", "delay_s: 15e-2").replace("tokens: 3.5", "tokens: 4"))
    found = plan_file.read(written)
    assert (found.goals.delay_s, found.model.tokens) == (0.15, 4.0)
