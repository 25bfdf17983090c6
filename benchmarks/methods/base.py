"""`base`: the frozen model as it is."""

from __future__ import annotations

from benchmarks.methods import Attachment, Method


class Base(Method):
    name = "base"
    summary = "the frozen model, nothing trained"
    trains_encoder = False

    def attach(self, model) -> Attachment:
        return Attachment()

    def count(self, model) -> int:
        return 0
