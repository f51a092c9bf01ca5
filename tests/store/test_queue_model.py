"""The queue against a plain model of it: whatever is asked in whatever order, both say the same."""

from __future__ import annotations

from hypothesis import settings
from queueing import Queueing

TestQueueing = Queueing.TestCase
TestQueueing.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
