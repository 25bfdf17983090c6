"""How to read the numbers: the words of the index page, for the metrics that are on the pages."""

from __future__ import annotations

from benchmarks.board.pool import metrics_of
from benchmarks.board.units import unit
from benchmarks.records import Record

_METRICS = {
    "miou": "**Points.** mIoU is the foreground IoU of each image, averaged over the test images, then over seeds, times 100.",
    "mse": """**MSE.** The mean squared error of the depth, in square metres: over the pixels of each image whose depth is known,
  within the protocol's range of depths and inside its crop, then over the test images, then over seeds.""",
    "accuracy": "**Accuracy.** The share of the test images whose class is named right, averaged over seeds, times 100.",
}
_FALLING = """- **Lower is better** where a header says so. A difference is always the metric's own, so there one below 0 is a gain.
  The gains of a swap are turned: a positive gain is an improvement, whichever way the metric runs."""
_OTHERS = """- **Other metrics** have a table of their own, of means alone. Methods are ranked, swaps are measured and differences are taken
  by the one metric of the protocol, which the first table of a page shows."""
_REST = """- **95 % interval.** Bootstrap over images and seeds: how far the number may move with other images of the same kind
  and with other seeds. Few seeds tell little about the spread between seeds, and the interval is widened for that
  (Student's t). In simulations of three seeds it holds the true mean in 95 % of cases, in more where seeds matter little;
  with one seed it says nothing about seeds.
- **Difference.** Paired by image, because both were evaluated on the same images. A swap (`X+swap`) and its random control
  are compared with the same method without swap (`X`); all else with `base`. **tie**: zero lies in the interval, so the
  data show no difference, whatever its sign.
- **Swap.** `3<-7` overwrites the redundant channel 3 with the effective channel 7 (0-based). *Redundant* and *effective*
  mean only that this raised the score on the search set, which shares no id with the test set. A run also compares
  contents: a copy under another id stops it, except in an official dataset, where it is named and left in.
  A combination *cannot stand* where two of its pairs overwrite one channel; it is skipped, and counted.
- **Controls.** `X+random-swap` swaps the same number of pairs, drawn at random; `base+best-of-three` is the unadapted model
  with the best-scored of SAM's three masks for one click. A gain that a control also reaches is not the method's.
- **Rank.** A range of places. Methods that are better beyond their paired 95 % interval stand before it, those that are worse
  beyond theirs behind it, and the rest are ties: 1-3 may be first and may be third. *p* is of the difference to the next
  method by the mean, from the same bootstrap, corrected for how many p the table has (Holm); intervals are not corrected.
  Controls have no rank.
- **Search gain and test gain.** A swap is chosen by what it gains on the search set; the test gain says what is left of it on
  images that had no say. Where the first is large and the second small, the search fitted its own images.
- **Quality over cost.** Time and memory are those of one device, a table and pictures each. Parameters are a method's own and
  what is trained besides; seconds are training, embedding and search where there are any, and evaluation, that of `base` with
  its control; memory is the largest peak of these, of the GPU where it was recorded, else resident, and never both. *Nobody
  beats* a method where no other is at least as good and as cheap.
- **Trained parameters.** The method's own, plus what is trained besides, by name.
- **Version.** Eight hex digits that stand for every rule of the protocol. Numbers of two versions are never joined.
- **Empty or worded cells** say why there is no number. Times of two devices never share a column."""


def how(groups: list[list[Record]]) -> str:
    """The section, in Markdown. `groups` are the records of each board; without any, of segmentation."""
    known = [metrics for records in groups if (metrics := metrics_of(records))]
    ranked = list(dict.fromkeys(metrics[0] for metrics in known)) or ["miou"]
    # Metrics that this module does not know come from records, and a record's words never become markup: they are left out.
    parts = ["- " + text for metric, text in _METRICS.items() if metric in ranked]
    parts += [_FALLING] if any(not unit(m).higher for metrics in known for m in metrics) else []
    parts += [_OTHERS] if any(len(metrics) > 1 for metrics in known) else []
    return "## How to read the numbers\n\n" + "\n".join([*parts, _REST])
