"""Croissant metadata of the datasets (https://docs.mlcommons.org/croissant/), from their manifests and cards.

`python -m benchmarks.croissant` writes `datasets/*/croissant.json`. What a manifest does not know is left out, never guessed:
a source without a checksum is named in the description and is no file of the distribution.
"""

from __future__ import annotations

import json
import mimetypes
import re

from benchmarks.catalog import DATASETS, TASKS, Dataset
from benchmarks.data.manifests import cards, manifest

VERSION = "http://mlcommons.org/croissant/1.0"
APACHE = "https://www.apache.org/licenses/LICENSE-2.0"
SELF = "The chanswap authors"
# The context that the specification gives for a document of version 1.0.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes",
            "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace",
            "samplingRate", "separator", "source", "subField", "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}  # fmt: skip
_TYPES = {".zip": "application/zip", ".tar": "application/x-tar", ".gz": "application/gzip", ".mat": "application/x-matlab-data"}


def croissant(dataset: Dataset) -> dict:
    """The metadata of a dataset, as JSON-LD. Raises MissingData where this checkout lacks its manifest."""
    stated, generated = manifest(dataset.name), dataset.source == "generated"
    sources = stated.get("sources", [])
    files = [_file(s) for s in sources if s["sha256"] or s["md5"]]
    known = {f["name"] for f in files}
    without = [f"{s['file']} ({_address(s)})" for s in sources if s["file"] not in known]
    about = [f"{dataset.summary[:1].upper()}{dataset.summary[1:]}. Task {dataset.task}: {TASKS.get(dataset.task).summary}."]
    if generated:
        about += [f"Drawn by {stated['source']}, the same bytes on every machine: no file is distributed."]
        about += [f"`python -m benchmarks data export {dataset.name} --out FOLDER` writes them in the Hugging Face format."]
    else:
        about += [
            f"Not shipped: `python -m benchmarks data fetch {dataset.name}` or `data add` puts the publisher's files in place."
        ]
    about += [f"Sources whose checksum is not known: {', '.join(without)}."] if without else []
    about += [f"Layout: {stated['layout']}."]
    made = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": dataset.name,
        "description": " ".join(about),
        "license": APACHE if stated["licence"] == "Apache-2.0" else stated["licence"],
        "alternateName": pretty_name(dataset),
        "citeAs": f"{SELF}. chanswap, dataset {dataset.name}. See CITATION.cff." if generated else stated["citation"],
        "keywords": ["chanswap", "benchmark", dataset.task],
    }
    if generated:
        made |= {"version": f"{_generator(stated)}.0.0", "creator": {"@type": "sc:Organization", "name": SELF}}
    else:
        made["url"] = _address(sources[0])
    made |= {"distribution": files} if files else {}
    return made | {"recordSet": [_splits(stated)]}


def text(dataset: Dataset) -> str:
    """The file as it is committed."""
    return json.dumps(croissant(dataset), indent=2, ensure_ascii=False) + "\n"


def pretty_name(dataset: Dataset) -> str:
    """The name at the head of the dataset's card."""
    card = (cards() / dataset.name / "README.md").read_text(encoding="utf-8")
    return re.search(r'^pretty_name: "(.*)"$', card, re.M)[1]


def _file(source: dict) -> dict:
    ending = "." + source["file"].rsplit(".", 1)[-1]
    made = {
        "@type": "cr:FileObject",
        "@id": source["file"],
        "name": source["file"],
        "contentUrl": _address(source),
        "encodingFormat": _TYPES.get(ending) or mimetypes.types_map.get(ending, "application/octet-stream"),
    }
    made |= {"contentSize": f"{source['bytes']} B"} if source["bytes"] else {}
    return made | {name: source[name] for name in ("sha256", "md5") if source[name]}


def _address(source: dict) -> str:
    return source["url"] if source["kind"] == "url" else f"https://drive.google.com/file/d/{source['id']}"


def _generator(stated: dict) -> str:
    return re.search(r"generator version (\d+)", stated["source"])[1]


def _splits(stated: dict) -> dict:
    """How many images each split has, and the sha256 of its bytes where the manifest states one; only what is known of all."""
    kinds = {"name": ("sc:Text", "The name of the split.")}
    splits = stated["splits"]
    if all(s.get("images") is not None for s in splits.values()):
        kinds["images"] = ("sc:Integer", "How many images it has.")
    if all("sha256" in s for s in splits.values()):
        kinds["sha256"] = ("sc:Text", "The sha256 of all image bytes, then of all truths.")
    fields = [
        {"@type": "cr:Field", "@id": f"splits/{name}", "name": name, "description": about, "dataType": kind}
        for name, (kind, about) in kinds.items()
    ]
    rows = [{f"splits/{k}": name if k == "name" else split[k] for k in kinds} for name, split in splits.items()]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits that the benchmark uses.",
        "key": {"@id": "splits/name"},
        "field": fields,
        "data": rows,
    }


def main() -> None:
    for name, dataset in DATASETS.items():
        (cards() / name / "croissant.json").write_text(text(dataset), encoding="utf-8")


if __name__ == "__main__":
    main()
