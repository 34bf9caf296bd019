from __future__ import annotations

import json
import sys

import pytest

from qeil_ros.models.extras import require
from qeil_ros.models.schema import ModelError


def test_a_package_that_is_there_is_imported():
    assert require("json", extra="models") is json


def test_a_package_that_is_missing_is_told_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r"package 'onnx'.*pip install \"qeil-ros\[models\]\""):
        require("onnx", extra="models")
