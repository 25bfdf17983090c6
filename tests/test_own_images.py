"""The script of docs/own-images.md runs as it stands there, with a small SAM in the place of ViT-B and generated photos."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import segment_anything
import torch
from PIL import Image

from benchmarks import data
from benchmarks.backbones import build, verified_checkpoint
from benchmarks.catalog import BACKBONES, DATASETS
from benchmarks.protocols import PROTOCOLS

DOCUMENT = Path(__file__).parents[1] / "docs" / "own-images.md"
FIND, USE = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)


def small_sam(checkpoint):
    """`sam-mini`, of the library's own classes, whichever checkpoint is asked for."""
    assert checkpoint == "sam_vit_b_01ec64.pth"
    backbone = BACKBONES.get("sam-mini")
    return build(backbone, verified_checkpoint(backbone)[0])


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", small_sam)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    return tmp_path


def run(script: str) -> dict:
    names: dict = {}
    exec(compile(script, str(DOCUMENT), "exec"), names)
    return names


def test_a_swap_is_found_judged_on_other_photos_kept_and_put_on(place, capsys):
    dataset = DATASETS.get("natural-mini")
    ids = data.ids(dataset, "train", PROTOCOLS.get("mini-v1"))
    for k, sample in enumerate(data.load(dataset, "train", ids[:6])):
        Image.fromarray(np.asarray(sample.image)).save(place / "photos" / f"{k}.png")
        Image.fromarray(np.asarray(sample.mask).astype(np.uint8) * 255).save(place / "masks" / f"{k}.png")
    names = run(FIND)
    said = capsys.readouterr().out
    assert re.search(r"gains \+\d+\.\d\d points of IoU on the 3 photos", said)
    assert re.search(r"^[+-]\d+\.\d\d \+- \d+\.\d\d on 3 others; better on \d, worse on \d$", said, re.M)
    # What was searched is what the predictor answers: the same IoU by both ways, on a photo of the search.
    image, mask, click = names["read"](names["shown"][0])
    found, by_search = names["found"], names["features"][0][None][:, list(names["found"].swap.source)]
    with torch.no_grad():
        wanted = names["evaluate"](by_search, 0)
    used = run(USE)
    used["predictor"].set_image(image)
    answer = used["predictor"].predict(np.array([click]), np.array([1]), multimask_output=False)[0][0]
    assert names["iou"](answer, mask) == pytest.approx(float(wanted), abs=1e-6)
    assert found.gain > 0 and (place / "my-photos.swap.json").stat().st_size < 1024


def test_no_photos_are_said_in_a_line(place):
    with pytest.raises(SystemExit, match="photos/ holds 0 files; put twenty or more there"):
        run(FIND)
