"""Bringing a dataset to its place, `<home>/data/<name>`: fetched from its manifest's sources, or taken from what the user has.

Sources are gathered in a folder beside the place, which is renamed when the dataset's reader finds its layout whole: a run sees
all of a dataset or none. What an earlier call finished is kept, so the same command goes on from there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from benchmarks.data.folder import root as place
from benchmarks.data.manifests import manifest
from benchmarks.errors import MissingData, UsageError
from benchmarks.fetch import download, drive_url
from benchmarks.files import home, link_or_copy, write_atomically
from benchmarks.pins import Pin, faults, warn_of_size
from benchmarks.unpack import unpack

log = logging.getLogger("benchmarks")


def command(name: str) -> str:
    """The command that brings the dataset here."""
    return f"python -m benchmarks data fetch {name}"


def fetch(name: str, mirror: str | None = None) -> Path:
    """Download all sources of the manifest, or the Hugging Face copy `mirror` in their stead, check, unpack, put in place.

    Raises MissingData: what cannot be had or is not what the manifest pins, and a folder in the place that is not whole.
    """
    stated = manifest(name)
    root = place(name)
    if root.exists():
        if reason := _reader(name).lacking(root):
            raise MissingData(f"{root} is there, but not whole: {reason}; move it away, then run: {command(name)}")
        log.info("%s is in place; check every file with: python -m benchmarks data verify %s", name, name)
        return root
    wanted = [_mirror(stated, mirror)] if mirror else stated["sources"]
    if not {*_done(name)} <= {_key(s) for s in wanted}:  # the official files and a copy must not be mixed
        shutil.rmtree(_staged(name))
    for source in wanted:
        if _key(source) in _done(name):
            continue
        if source["kind"] == "hub":
            _from_hub(source, _staged(name), name)
        else:
            url = source["url"] if source["kind"] == "url" else drive_url(source["id"])
            target = home() / "downloads" / source["file"]
            by_hand = f"python -m benchmarks data add {name} {source['file']}"
            _take(name, download(url, target, _pin(source), by_hand), source)
        _note(name, source)
    _finish(name)
    log.info("what was downloaded is kept in %s; delete it to make room", home() / "downloads")
    return root


def add_file(name: str, path: Path) -> str | None:
    """Take one archive or file that the user downloaded. None where the dataset is now in place, else what is still to come.

    A file named as in the manifest is held against its pin; one of another name is taken where its checksum says which it is.
    Raises MissingData for one that is damaged or none of the manifest's.
    """
    _vacant(name)
    sources = manifest(name)["sources"]
    source = next((s for s in sources if s.get("file") == path.name), None)
    if source:
        if reason := faults(path, _pin(source)):
            raise MissingData(f"{path} is not the file of the manifest: {reason}; run: {command(name)}")
        warn_of_size(path, _pin(source))
    source = source or next((s for s in sources if _pin(s).known and faults(path, _pin(s)) is None), None)
    if source is None:
        wanted = " or ".join(s["file"] for s in sources if s.get("file"))
        raise MissingData(
            f"{path.name} is none of the files of {name}; name it {wanted} if it is one, or unpack it and add its folder: "
            f"python -m benchmarks data add {name} FOLDER"
        )
    _take(name, path, source)
    _note(name, source)
    reason = _reader(name).lacking(_staged(name))
    if reason is None:
        _finish(name)
        return None
    wanting = [s["file"] for s in sources if s.get("file") and _key(s) not in _done(name)]
    return f"{path.name} is taken; still to come: {', '.join(wanting) or reason}"


def add_folder(name: str, path: Path, force: bool = False) -> list[str]:
    """Link the place to a folder in the official layout or of `save_to_disk`, or copy it where links are impossible.

    A folder of parquet files, as the Hugging Face hub has them, is rewritten as `save_to_disk` does. Returns the structural
    faults. With faults nothing is put in place, unless `force`. Raises MissingData where the layout is another.
    """
    _vacant(name)
    path = path.resolve()
    reader, root = _reader(name), place(name)
    reason = reader.lacking(path)
    if reason and (fitting := next((p for p in (path.parent, *sorted(_folders(path))) if reader.lacking(p) is None), None)):
        which = "its parent" if fitting == path.parent else "the folder in it"
        raise MissingData(f"{path} is not the layout's top; name {which}: python -m benchmarks data add {name} {fitting}")
    if reason and next(path.rglob("*.parquet"), None):
        return _add_parquet(name, path, force)
    if reason:
        lacks, layout = reason.partition("; get it: ")[0], manifest(name).get("layout", "the official layout")
        raise MissingData(f"{lacks}; name the folder that holds {layout}, or get it: {command(name)}")
    found = reader.faults(path)
    if found and not force:
        return found
    root.parent.mkdir(parents=True, exist_ok=True)
    if root.is_symlink():  # to a folder that is gone
        root.unlink()
    try:
        root.symlink_to(path, target_is_directory=True)
    except OSError:
        beside = root.with_name(f".{name}.copied")
        shutil.rmtree(beside, ignore_errors=True)
        try:
            shutil.copytree(path, beside)
            os.replace(beside, root)
        except BaseException as error:
            shutil.rmtree(beside, ignore_errors=True)
            if isinstance(error, shutil.Error):  # it goes on after each file, and then raises a list of what went wrong
                _, file, why = error.args[0][0]
                raise MissingData(f"{path} cannot be copied: {file}: {why}; make room, then add it again") from None
            raise
    return found


def _folders(path: Path) -> list[Path]:
    return [p for p in path.iterdir() if p.is_dir()]


def _add_parquet(name: str, path: Path, force: bool) -> list[str]:
    """As `add_folder`, of parquet files."""
    from datasets import load_dataset

    reader = _reader(name)
    place(name).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place(name).parent, prefix=f".{name}.", suffix=".table") as beside:
        saved = Path(beside) / "saved"
        try:
            load_dataset(str(path), cache_dir=str(Path(beside) / "cache")).save_to_disk(str(saved))
        except Exception as error:  # arrow, the library and the file system each raise their own
            line = " ".join(str(error).split())[:200]
            raise MissingData(f"{path} cannot be read as a Hugging Face dataset ({line}); run: {command(name)}") from None
        if reason := reader.lacking(saved):
            raise MissingData(f"{path}: {reason.replace(str(saved), 'its table')}")
        found = [f.replace(str(saved), str(path)) for f in reader.faults(saved)]
        if not found or force:
            place(name).unlink(missing_ok=True)  # a link to a folder that is gone
            os.replace(saved, place(name))
    return found


def _reader(name: str):
    from benchmarks.data.readers import reader

    return reader(name)


def _vacant(name: str) -> None:
    if place(name).exists():
        raise MissingData(
            f"{place(name)} is there already; check it with: python -m benchmarks data verify {name}, or move it away"
        )


def _staged(name: str) -> Path:
    return place(name).with_name(f".{name}.staged")


def _take(name: str, file: Path, source: dict) -> None:
    """Unpack a file into the staged folder, or put it there as it is."""
    folder = _staged(name) / source.get("into", "")
    if source.get("unpack"):
        unpack(file, folder, source.get("unpacked_bytes"))
        return
    folder.mkdir(parents=True, exist_ok=True)
    target, beside = folder / source["file"], folder / f".{source['file']}.part"
    beside.unlink(missing_ok=True)
    link_or_copy(file, beside)
    os.replace(beside, target)


def _finish(name: str) -> None:
    staged = _staged(name)
    if reason := _reader(name).lacking(staged):
        raise MissingData(f"{name} is unpacked in {staged}, but its layout is not the official one: {reason}")
    os.replace(staged, place(name))
    _list(name).unlink(missing_ok=True)


def _from_hub(source: dict, folder: Path, name: str) -> None:
    """A Hugging Face dataset: its files as they are, or ("format": "table") its splits, as `save_to_disk` writes them."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        revision = source.get("revision")
        if revision is None:
            revision = HfApi().dataset_info(source["id"]).sha
            log.warning("%s: no revision is pinned, so the present one is trusted: %s", source["id"], revision)
        if source.get("format") == "table":
            from datasets import load_dataset

            load_dataset(source["id"], source.get("config"), revision=revision).save_to_disk(str(folder))
        else:
            snapshot_download(
                source["id"], repo_type="dataset", revision=revision, local_dir=folder, allow_patterns=source.get("files")
            )
            shutil.rmtree(folder / ".cache", ignore_errors=True)
    except Exception as error:  # the libraries raise their own, their transport's and OSError for one and the same thing
        line = " ".join(str(error).split())[:200] or type(error).__name__
        raise MissingData(
            f"https://huggingface.co/datasets/{source['id']}: {line}; run it again, or download it by other means, then: "
            f"python -m benchmarks data add {name} FOLDER"
        ) from None


def _mirror(stated: dict, wanted: str) -> dict:
    mirrors = {m["id"]: m for m in stated.get("mirrors", ())}
    if wanted not in mirrors:
        raise UsageError(f"{stated['name']} has no mirror {wanted!r}; known: {', '.join(mirrors) or 'none'}. Leave --mirror out")
    return mirrors[wanted]


def _pin(source: dict) -> Pin:
    return Pin(source.get("bytes"), source.get("sha256"), source.get("md5"), source.get("bytes_unconfirmed"))


def _key(source: dict) -> str:
    return source.get("file") or source["id"]


def _list(name: str) -> Path:
    """Which sources are in the staged folder."""
    return place(name).with_name(f".{name}.staged.json")


def _done(name: str) -> list[str]:
    try:
        found = json.loads(_list(name).read_bytes()) if _staged(name).is_dir() else []
    except (OSError, ValueError, RecursionError):
        return []
    return [key for key in found if isinstance(key, str)] if isinstance(found, list) else []


def _note(name: str, source: dict) -> None:
    write_atomically(_list(name), json.dumps(sorted({*_done(name), _key(source)})))
