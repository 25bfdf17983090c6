"""Weights and data brought to their places: fetched, taken from files of the user, verified; cards and manifests complete."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import types
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import backbones, fetch
from benchmarks.catalog import BACKBONES, DATASETS, Weights
from benchmarks.cli import main
from benchmarks.data import obtain, readers
from benchmarks.data.manifests import cards, manifest
from benchmarks.errors import MissingData, UsageError
from tests.test_fetch import DATA, SHA256, server  # noqa: F401

OFFICIAL = [name for name, d in DATASETS.items() if d.source == "official"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


# Weights


@pytest.fixture
def backbone():
    """A backbone `big` whose weights are DATA."""
    big = replace(
        BACKBONES.get("sam-vit-b"), name="big", weights=Weights("big.pth", SHA256, len(DATA), "http://127.0.0.1:9/big.pth")
    )
    with BACKBONES.temporarily("big", big):
        yield big


def test_weights_are_fetched_to_their_place(server, home, capsys):  # noqa: F811
    big = replace(BACKBONES.get("sam-vit-b"), name="big", weights=Weights("big.pth", SHA256, None, server.url))
    with BACKBONES.temporarily("big", big):
        assert main(["weights", "verify", "big"]) == 3
        assert "python -m benchmarks weights fetch big" in capsys.readouterr().out
        assert main(["weights", "fetch", "big"]) == 0
        assert capsys.readouterr().out.strip() == str(home / "weights" / "big.pth")
        assert main(["weights", "verify", "big"]) == 0
        assert SHA256 in capsys.readouterr().out
        (home / "weights" / "big.pth").write_bytes(DATA[:-1])
        assert main(["weights", "verify"]) == 3
        assert "delete it, then run: python -m benchmarks weights fetch big" in capsys.readouterr().out
        assert main(["weights", "fetch", "big"]) == 3


@pytest.mark.parametrize("form", ["file", "folder", "link", "copy"])
def test_weights_are_taken_from_a_file_of_the_user(backbone, home, tmp_path, capsys, monkeypatch, form):
    source = tmp_path / "mine" / "blobs" / ("big.pth" if form in ("folder", "copy") else "other.pth")
    source.parent.mkdir(parents=True)
    source.write_bytes(DATA)
    named = source if form == "file" else tmp_path / "mine"
    if form == "link":  # as Hugging Face's cache has them
        (tmp_path / "mine" / "big.pth").symlink_to(source)
    if form == "copy":
        monkeypatch.setattr(os, "link", lambda *a, **k: (_ for _ in ()).throw(OSError("another disk")))
    for _ in range(2):
        assert main(["weights", "add", "big", str(named)]) == 0
        target = home / "weights" / "big.pth"
        assert target.read_bytes() == DATA and not target.is_symlink()
        assert target.samefile(source) == (form != "copy")
        assert [f.name for f in target.parent.iterdir()] == ["big.pth"]
    assert backbones.verified_checkpoint(backbone)[1] == SHA256


def test_wrong_files_are_no_weights(backbone, home, tmp_path, capsys):
    (tmp_path / "big.pth").write_bytes(DATA[:-1] + b"?")
    (tmp_path / "empty").mkdir()
    for path, said in (("big.pth", "is not big.pth: sha256"), ("empty", "no big.pth in"), ("none", "does not exist")):
        assert main(["weights", "add", "big", str(tmp_path / path)]) == 3
        assert said in capsys.readouterr().err
    assert not (home / "weights").exists()


def test_weights_commands_that_do_not_go_together(capsys):
    wrong = (
        ["fetch"],
        ["fetch", "sam-mini"],
        ["add", "sam-mini", "x"],
        ["add", "sam-vit-b"],
        ["verify", "sam-vit-b", "x"],
        ["fetch", "sam-vit-c"],
    )
    for words in wrong:
        assert main(["weights", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_weights_list_names_every_backbone_and_its_command(capsys):
    assert main(["weights", "list"]) == 0
    shown = capsys.readouterr().out
    for name, backbone in BACKBONES.items():
        assert name in shown
        assert (f"weights fetch {name}" in shown) != backbone.weights.shipped


def test_every_checkpoint_has_a_checksum_and_an_address():
    for _, backbone in BACKBONES.items():
        if not backbone.weights.shipped:
            assert len(backbone.weights.sha256) == 64 and backbone.weights.url.endswith("/" + backbone.weights.file)


def test_a_checkpoint_goes_through_its_builders_converter(tmp_path, monkeypatch):
    """The published file may wrap or name the weights in other ways than the classes; the configuration reaches the builder."""
    import torch

    module = types.ModuleType("fake_builder")
    module.build = lambda *config: setattr(model := torch.nn.Linear(2, 1), "config", config) or model
    monkeypatch.setitem(sys.modules, "fake_builder", module)
    made = replace(BACKBONES.get("sam-vit-b"), build="fake_builder:build", config="small.yaml")
    assert backbones.build(made, None).config == ("small.yaml",) and backbones.build(replace(made, config=""), None).config == ()
    wanted = torch.nn.Linear(2, 1).state_dict()
    torch.save({"model": wanted}, tmp_path / "w.pt")
    with pytest.raises(
        MissingData, match="w.pt holds no weights by name; get the file again"
    ):  # never a model whose weights stayed random
        backbones.build(made, tmp_path / "w.pt")
    module.convert = lambda state: state["model"]
    model = backbones.build(made, tmp_path / "w.pt")
    assert torch.equal(model.weight, wanted["weight"]) and not model.training


# Data


STEMS = ("cju5", "cju6", "cju7")  # the hash rule puts the last into the test split


@pytest.fixture(autouse=True)
def of_any_number(monkeypatch):
    """kvasir without its official number of images, so that three are whole."""
    monkeypatch.setitem(readers._READERS, "kvasir", ("kvasir", {}))


def picture(part, k):
    """The bytes of an image, or of a mask."""
    pixels = np.full((12, 16), 40 * k, np.uint8)
    if part == "masks":
        pixels = np.zeros((12, 16), np.uint8)
        pixels[2 : 6 + k, 3:9] = 255
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "JPEG")
    return held.getvalue()


def layout(folder, **more):
    for part in ("images", "masks"):
        (folder / "Kvasir-SEG" / part).mkdir(parents=True)
        for k, stem in enumerate(STEMS):
            (folder / "Kvasir-SEG" / part / f"{stem}.jpg").write_bytes(picture(part, k))
    for name, text in more.items():
        (folder / "Kvasir-SEG" / "masks" / name.replace("_", ".")).write_text(text)
    return folder


def archive(path, part):
    with zipfile.ZipFile(path, "w") as file:
        for k, stem in enumerate(STEMS):
            file.writestr(f"Kvasir-SEG/{part}/{stem}.jpg", picture(part, k))
    return path


@pytest.fixture
def sources(monkeypatch):
    """Sets the sources of kvasir's manifest."""
    held = {"name": "kvasir", "sources": [], "mirrors": []}
    monkeypatch.setattr(obtain, "manifest", lambda name: held)
    return held


def url(address, file, **more):
    return {"kind": "url", "url": address, "file": file, "bytes": None, "sha256": None, "md5": None, "unpack": True} | more


def test_data_are_fetched_checked_unpacked_and_put_in_place(server, home, tmp_path, sources, capsys):  # noqa: F811
    server.data = archive(tmp_path / "a.zip", "images").read_bytes()
    sources["sources"] = [url(server.url, "a.zip", sha256=hashlib.sha256(server.data).hexdigest()), url(server.url, "b.zip")]
    with pytest.raises(MissingData, match="layout is not the official one: .*masks is missing"):
        obtain.fetch("kvasir")
    assert not obtain.place("kvasir").exists()
    server.data = archive(tmp_path / "b.zip", "masks").read_bytes()
    for file in (home / "downloads").glob("b.zip*"):
        file.unlink()
    obtain._list("kvasir").write_text('["a.zip"]')
    server.asked = []
    assert main(["data", "fetch", "kvasir"]) == 0
    assert server.asked == [None]  # a.zip, fetched before, is not fetched again
    assert "data verify kvasir" in capsys.readouterr().out
    assert len(readers.reader("kvasir").files(obtain.place("kvasir"))) == 6
    assert sorted(f.name for f in (home / "data").iterdir()) == ["kvasir"]
    assert main(["data", "fetch", "kvasir"]) == 0 and main(["data", "verify", "kvasir"]) == 0
    (obtain.place("kvasir") / "Kvasir-SEG" / "images").rename(tmp_path / "away")
    assert main(["data", "fetch", "kvasir"]) == 3
    assert "is there, but not whole" in capsys.readouterr().err


def test_a_stopped_fetch_goes_on_with_the_next_source(server, home, tmp_path, sources, monkeypatch):  # noqa: F811
    server.data = archive(tmp_path / "a.zip", "images").read_bytes()
    sources["sources"] = [url(server.url, "a.zip"), url(server.url.replace("data.zip", "b"), "b.zip", bytes=7)]
    with pytest.raises(
        MissingData, match="offers .* expected 7; download .*then run: python -m benchmarks data add kvasir b.zip"
    ):
        obtain.fetch("kvasir")
    (home / "downloads" / "a.zip").unlink()  # no longer needed
    other = archive(tmp_path / "b.zip", "masks")
    sources["sources"][1]["bytes"] = other.stat().st_size
    assert main(["data", "add", "kvasir", str(other)]) == 0  # by other means, as the message says
    assert len(readers.reader("kvasir").files(obtain.place("kvasir"))) == 6


def test_files_that_are_not_unpacked_are_put_beside(server, home, tmp_path, sources):  # noqa: F811
    server.data = archive(tmp_path / "a.zip", "images").read_bytes()
    layout(obtain._staged("kvasir"))
    sources["sources"] = [url(server.url, "splits.mat", unpack=False)]
    obtain.fetch("kvasir")
    assert (obtain.place("kvasir") / "splits.mat").read_bytes() == server.data


def test_drive_and_hub_sources(home, tmp_path, sources, monkeypatch, caplog):
    asked = []

    def fake_download(address, target, pin, by_hand):
        asked.append((address, target.name))
        return archive(tmp_path / "a.zip", "images")

    def fake_snapshot(repo, **how):
        asked.append((repo, how["revision"], how["allow_patterns"]))
        layout(how["local_dir"])
        (how["local_dir"] / ".cache").mkdir()

    monkeypatch.setattr(obtain, "download", fake_download)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fake_snapshot)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda self, repo: types.SimpleNamespace(sha="abc"))
    sources["sources"] = [{"kind": "drive", "id": "XYZ", "file": "a.zip", "unpack": True}]
    sources["mirrors"] = [{"kind": "hub", "id": "some/copy", "revision": None, "format": "files", "files": ["Kvasir-SEG/*"]}]
    with pytest.raises(MissingData, match="not the official one"):
        obtain.fetch("kvasir")
    with pytest.raises(UsageError, match="no mirror 'some/cpy'; known: some/copy"):
        obtain.fetch("kvasir", "some/cpy")
    obtain.fetch("kvasir", "some/copy")  # what the official file had left is not mixed in
    assert asked == [(fetch.drive_url("XYZ"), "a.zip"), ("some/copy", "abc", ["Kvasir-SEG/*"])]
    assert "no revision is pinned" in caplog.text and "abc" in caplog.text
    assert not (obtain.place("kvasir") / ".cache").exists()


def test_a_hub_that_does_not_answer_is_one_line(sources, monkeypatch):
    def refuse(*args, **how):
        raise OSError("no\n  connection")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    sources["sources"] = [{"kind": "hub", "id": "some/copy", "revision": "abc"}]
    with pytest.raises(MissingData, match="datasets/some/copy: no connection; run it again.*data add kvasir FOLDER"):
        obtain.fetch("kvasir")


def test_a_folder_of_the_user_is_linked(home, tmp_path, capsys):
    mine = layout(tmp_path / "mine")
    assert main(["data", "add", "kvasir", str(mine)]) == 0
    assert obtain.place("kvasir").is_symlink() and obtain.place("kvasir").samefile(mine)
    assert main(["data", "verify", "kvasir"]) == 0
    assert main(["data", "add", "kvasir", str(mine)]) == 3
    assert "is there already" in capsys.readouterr().err


def test_a_link_to_a_folder_that_is_gone_is_replaced(tmp_path):
    obtain.add_folder("kvasir", layout(tmp_path / "mine"))
    (tmp_path / "mine").rename(tmp_path / "moved")
    assert obtain.add_folder("kvasir", tmp_path / "moved") == []
    assert obtain.place("kvasir").samefile(tmp_path / "moved")


def test_a_folder_is_copied_where_links_are_impossible(home, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "symlink_to", lambda *a, **k: (_ for _ in ()).throw(OSError("no links")))
    obtain.add_folder("kvasir", layout(tmp_path / "mine"))
    assert not obtain.place("kvasir").is_symlink() and len(readers.reader("kvasir").files(obtain.place("kvasir"))) == 6
    assert [f.name for f in (home / "data").iterdir()] == ["kvasir"]


def test_a_folder_with_faults_is_put_in_place_only_by_force(tmp_path, capsys):
    mine = layout(tmp_path / "mine", Thumbs_db="", x_tmp="")
    assert main(["data", "add", "kvasir", str(mine)]) == 3
    shown = capsys.readouterr().out
    assert "Thumbs.db: stray" in shown and "x.tmp: stray" in shown and "2 faults" in shown
    assert not obtain.place("kvasir").exists()
    assert main(["data", "add", "kvasir", str(mine), "--force"]) == 0
    assert obtain.place("kvasir").samefile(mine)


def test_other_folders_and_files_are_refused(tmp_path, capsys, sources):
    (tmp_path / "other").mkdir()
    (tmp_path / "a.zip").write_bytes(b"nothing")
    sources["sources"] = [url("", "a.zip")]
    for path, said in (
        ("other", "Kvasir-SEG/images is missing"),
        ("none", "does not exist"),
        ("a.zip", "neither a zip nor a tar"),
    ):
        assert main(["data", "add", "kvasir", str(tmp_path / path)]) == 3
        assert said in capsys.readouterr().err
    sources["sources"] = [url("", "a.zip", sha256=SHA256)]
    assert main(["data", "add", "kvasir", str(tmp_path / "a.zip")]) == 3
    assert "is not the file of the manifest: sha256" in capsys.readouterr().err


def test_an_archive_of_another_size_than_an_unconfirmed_one_is_taken(tmp_path, sources, capsys):
    sources["sources"] = [url("", "a.zip", bytes_unconfirmed=7), url("", "b.zip")]
    assert main(["data", "add", "kvasir", str(archive(tmp_path / "a.zip", "images"))]) == 3
    assert "a source that is not confirmed says 7" in capsys.readouterr().err
    assert main(["data", "add", "kvasir", str(archive(tmp_path / "b.zip", "masks"))]) == 0


def test_archives_are_taken_one_after_another(home, tmp_path, sources, capsys):
    sources["sources"] = [url("", "train.zip"), url("", "test.zip")]
    assert main(["data", "add", "kvasir", str(archive(tmp_path / "test.zip", "masks"))]) == 3
    assert "test.zip is taken; still to come: train.zip" in capsys.readouterr().out
    assert main(["data", "add", "kvasir", str(archive(tmp_path / "train.zip", "images"))]) == 0
    assert len(readers.reader("kvasir").files(obtain.place("kvasir"))) == 6


def test_an_archive_of_something_else_is_refused_and_leaves_nothing(home, tmp_path, sources, capsys):
    mine = archive(tmp_path / "pics.zip", "images")
    pinned = hashlib.sha256(mine.read_bytes()).hexdigest()
    sources["sources"] = [url("", "train.zip"), url("", "test.zip", sha256="0" * 64)]
    assert main(["data", "add", "kvasir", str(mine)]) == 3
    assert "pics.zip is none of the files of kvasir; name it train.zip or test.zip" in capsys.readouterr().err
    assert not list((home / "data").glob(".*"))
    sources["sources"] = [url("", "train.zip", sha256=pinned), url("", "test.zip")]  # renamed, but known by its checksum
    assert main(["data", "add", "kvasir", str(mine)]) == 3
    assert "pics.zip is taken; still to come: test.zip" in capsys.readouterr().out


def test_a_folder_too_deep_or_too_high_names_the_right_one(tmp_path, capsys):
    fits = layout(tmp_path / "outer" / "mine")
    for named, which in ((fits / "Kvasir-SEG", "its parent"), (tmp_path / "outer", "the folder in it")):
        assert main(["data", "add", "kvasir", str(named)]) == 3
        assert f"name {which}: python -m benchmarks data add kvasir {fits}\n" in capsys.readouterr().err


def test_verify_names_every_fault_at_once(tmp_path, capsys):
    root = layout(obtain.place("kvasir"), Thumbs_db="")
    for file in ("images/cju5", "masks/cju6", "masks/cju7"):
        (root / "Kvasir-SEG" / f"{file}.jpg").write_text("bad")
    assert main(["data", "verify", "kvasir"]) == 3
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 5 and "Thumbs.db" in shown[0] and shown[4].startswith("4 faults")
    assert [Path(line.split()[0]).name for line in shown[1:4]] == ["cju5.jpg", "cju6.jpg", "cju7.jpg"]


def test_data_commands_that_do_not_go_together(capsys):
    for words in (
        ["fetch", "camo-mini"],
        ["add", "camo-mini", "x"],
        ["add", "kvasir"],
        ["fetch", "kvasir", "x"],
        ["fetch", "kvasirr"],
    ):
        assert main(["data", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_doctor_names_all_data_and_weights_that_are_not_here(capsys):
    assert main(["doctor"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"datasets not prepared: {', '.join(OFFICIAL)} " in shown
    assert f"backbones without weights: {', '.join(n for n, b in BACKBONES.items() if not b.weights.shipped)} " in shown


# Cards and manifests


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_official_dataset_has_a_card_and_a_manifest(name):
    stated = manifest(name)
    assert stated["name"] == name and stated["licence"] and stated["citation"] and stated["layout"] and stated["sources"]
    assert set(stated["splits"]) == {"train", "test"} and all(set(s) == {"images"} for s in stated["splits"].values())
    for source in stated["sources"]:
        assert {"kind", "file", "bytes", "sha256", "md5", "revision", "unpack"} <= set(source)
        assert source["kind"] in ("url", "drive") and ("url" if source["kind"] == "url" else "id") in source
        assert source["bytes"] is None or source["sha256"] or source["md5"]  # else it is "bytes_unconfirmed"
        assert source["sha256"] is None or len(bytes.fromhex(source["sha256"])) == 32
        assert source["md5"] is None or len(bytes.fromhex(source["md5"])) == 16
        assert "/" not in source["file"]
    assert all(m["kind"] == "hub" and m["format"] in ("files", "table") for m in stated["mirrors"])
    card = (cards() / name / "README.md").read_text()
    assert card.startswith("---\npretty_name: ") and f"`{name}`" in card
    for said in (
        f"data fetch {name}",
        "**Split**",
        "**One object an image**",
        "**Known faults**",
        "**Licence**",
        "**Citation**",
        stated["layout"],
    ):
        assert " ".join(said.split()) in " ".join(card.split())


def test_one_name_is_one_file_in_the_downloads():
    """Sets that share an archive share its download; two archives never share a name."""
    seen: dict[str, str] = {}
    for name in OFFICIAL:
        for source in manifest(name)["sources"]:
            what = json.dumps(source, sort_keys=True)
            assert seen.setdefault(source["file"], what) == what


def test_no_code_lies_beside_the_cards():
    """An __init__.py there would hide the Hugging Face library of the same name."""
    assert not list(cards().rglob("*.py"))
