"""`index.html`: the whole leaderboard as one file that asks nothing of a network, from what the other pages are made of."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmarks.board.collect import EMBEDDED, TIERS, Board, Kept
from benchmarks.board.front import front
from benchmarks.board.text import MARK, Table

PAGE = "index.html"
# On the index of the Markdown pages; on the page itself it has nothing to say.
POINTER = (
    f"[Everything on one page, to sort, filter and open]({PAGE}). It is a file that needs no network; a repository's web view "
    "shows its source, so open it from a checkout, or serve the folder."
)
_SCRIPTS = ("table.js", "panel.js", "views.js")  # one script, in this order
# In JSON inside an element only "<" could end it. The others are what browsers and old parsers trip over.
_JSON = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def page(pages: dict[str, str], kept: tuple[Kept, ...], summaries: dict[Board, Table], folder: Path) -> str:
    """The file's text. `pages` are the Markdown pages and pictures by name, `summaries` the table of results of each board;
    `folder` is where pictures that a page names are sought: the one that holds the leaderboard."""
    from benchmarks.board.sections import Sources, sections  # the Markdown reader is of use here alone

    made = sections(Sources({n: text.replace(POINTER, "", 1) for n, text in pages.items()}, Path(folder), PAGE))
    style, script = _part("page.css"), "\n".join(_part(name) for name in _SCRIPTS)
    links = "\n".join(f'<li><a href="#{s.id}">{escape(_short(s.title))}</a></li>' for s in made)
    data = front(kept, summaries) | {"words": {"embedded": EMBEDDED}, "tiers": list(TIERS)}
    return _filled(
        _part("page.html"),
        {
            "mark": MARK,
            "policy": _policy(style, script),
            "style": style,
            "script": script,
            "data": _json(data),
            "links": links,
            "sections": "".join(s.html for s in made),
        },
    )


def _short(title: str) -> str:
    """A heading as a link among many: what stands before its colon."""
    return {"Leaderboard": "Overview"}.get(title, title.split(":")[0].replace(", protocol ", ", "))


def _policy(style: str, script: str) -> str:
    """What the browser may do: run this script and this style, and show pictures that are in the file. Nothing else."""
    return (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _json(data: Any) -> str:
    return re.sub("[<>&]", lambda m: _JSON[m[0]], json.dumps(data, separators=(",", ":")))


def _part(name: str) -> str:
    # The hashes are of the text between the tags, to the byte.
    return (files("benchmarks.board") / "page" / name).read_text(encoding="utf-8")


def _filled(template: str, parts: dict[str, str]) -> str:
    """Each {{name}} once replaced: what is filled in is not looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda m: parts[m[1]], template)
