"""A Hugging Face dataset saved by `save_to_disk`, with splits train and test (or validation)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data import decode
from benchmarks.data.readers.base import Reader, walk
from benchmarks.data.samples import LabelSample, Sample
from benchmarks.errors import MissingData


class Hub(Reader):
    """Columns image (or img) with mask, or with label (or fine_label). Ids are "SPLIT/" and the row's number."""

    def lacking(self, root: Path) -> str | None:
        return None if (root / "dataset_dict.json").is_file() else self.missing(root / "dataset_dict.json")

    def parts(self, root: Path) -> list[Path]:
        return walk(root)

    def ids(self, root: Path, split: str) -> list[str]:
        return [f"{split}/{k:05d}" for k in range(len(self._table(root, split)))]

    def sample(self, root: Path, split: str):
        from datasets import Image

        table = self._table(root, split)
        columns = table.column_names
        image = next((c for c in ("image", "img") if c in columns), None)
        truth = next((c for c in ("mask", "fine_label", "label") if c in columns), None)
        if image is None or truth is None:
            raise MissingData(f"{root}: columns {', '.join(columns)}, needed are image and mask or label; {self.remedy()}")
        table = table.cast_column(image, Image(decode=False))
        table = table.cast_column(truth, Image(decode=False)) if truth == "mask" else table

        def make(name: str) -> Sample | LabelSample:
            row, where = table[int(name.rpartition("/")[2])], f"{root}: {name}"
            source = row[image]["bytes"] or row[image]["path"]
            if truth != "mask":
                return LabelSample(name, decode.image(source, where), int(row[truth]))
            return Sample(name, *decode.pair(source, [row[truth]["bytes"] or row[truth]["path"]], where))

        return make

    def _table(self, root: Path, split: str):
        try:
            from datasets import load_from_disk
        except ImportError:
            raise MissingData("reading a saved Hugging Face dataset needs its library: pip install datasets") from None
        try:
            tables = load_from_disk(str(root))
        except Exception as error:  # arrow, json and the file system each raise their own
            raise MissingData(f"{root} cannot be read as a saved dataset ({str(error)[:200]}); {self.remedy()}") from None
        for name in ("train",) if split == "train" else ("test", "validation"):
            if name in tables:
                return tables[name]
        raise MissingData(f"{root}: no split {split} among {', '.join(tables)}; {self.remedy()}")
