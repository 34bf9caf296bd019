"""The old module name of `event_handler`."""

from __future__ import annotations

from .event_handler import *  # noqa: F403
