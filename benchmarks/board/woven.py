"""Parts of a checkout's own files that are made of its records: the README's headline, the model index of the checkpoints' cards."""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path

from benchmarks.board import checkpoint_cards, headline
from benchmarks.board.collect import Collection
from benchmarks.catalog import BACKBONES


def stale(root: Path, found: Collection, pages: Container[str]) -> dict[Path, str]:
    """The new text of each file of the checkout at `root` whose part is not what the records give; `pages` are the names of the
    leaderboard's. A file that is not there is none.

    Raises UsageError where a file has no place for its part.
    """
    makers: dict[Path, Callable[[str], str]] = {root / "README.md": lambda text: headline.refreshed(text, found, pages)}
    for name, backbone in BACKBONES.items():
        if backbone.weights.shipped:
            card = checkpoint_cards.card(backbone).relative_to(Path(__file__).parents[2])
            makers[root / card] = lambda text, name=name: checkpoint_cards.refreshed(text, name, found)
    new = {}
    for path, make in makers.items():
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            if (made := make(text)) != text:
                new[path] = made
    return new
