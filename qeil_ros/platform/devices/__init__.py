"""The devices inside this machine: what they are, as their drivers tell it, and how fast they are, measured.

A search imports runtimes (onnxruntime, OpenVINO) only when it is made, and says of each device that is not
here why. Nothing is decided here: which device runs what is the business of `planning.placement`.
"""

from __future__ import annotations

from .found import Absent, Found, Told
from .processor import Cache, Processor, processor
from .product import Precision, ProductError, Work, product
from .search import Machine, search
from .speed import Speed, flops, read_bandwidth, stream

__all__ = [
    "Absent",
    "Cache",
    "Found",
    "Machine",
    "Precision",
    "Processor",
    "ProductError",
    "Speed",
    "Told",
    "Work",
    "flops",
    "processor",
    "product",
    "read_bandwidth",
    "search",
    "stream",
]
