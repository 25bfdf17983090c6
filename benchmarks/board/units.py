"""How a metric stands in a table: its unit, its digits, and which way is up."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.metrics.names import METRICS


@dataclass(frozen=True)
class Unit:
    """How a metric is shown: its value times `scale`, with `decimals`; `higher` is better, or lower."""

    label: str
    name: str = "points"
    scale: float = 100
    decimals: int = 2
    higher: bool = True

    @property
    def header(self) -> str:
        return self.label + (f", {self.name}" if self.name else "") + ("" if self.higher else " (lower is better)")

    @property
    def title(self) -> str:
        """The label as a sentence begins: "Accuracy", but "mIoU" as it is."""
        return self.label.capitalize() if self.label.islower() else self.label

    @property
    def gap(self) -> str:
        """The head of a column of differences."""
        return f"difference{', ' + self.name if self.name else ''} (95 % interval{'' if self.higher else '; below 0 is better'})"

    def show(self, value: float, signed: bool = False) -> str:
        # Rounded first to nine decimals: machines differ in the last bits, and 58.245 must be one text on all of them.
        rounded = round(round(value * self.scale, 9), self.decimals) + 0.0  # adding zero makes -0.0 plain
        return f"{rounded:{'+' if signed else ''}.{self.decimals}f}"


_UNITS = {m.name: Unit(m.label, m.unit, m.scale, m.digits, m.higher_is_better) for m in METRICS.values()}


def unit(metric: str) -> Unit:
    """The unit of a metric; one that is not known is a fraction where higher is better."""
    return _UNITS.get(metric, Unit(metric))
