"""The Markdown pages as sections of one HTML page: links between them lead inside it, pictures are part of it."""

from __future__ import annotations

import posixpath
import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from benchmarks.board.text import MARK

_RULE, _BAR = re.compile(":?-+:?"), re.compile(r"(?<!\\)\|")
_MARKS = re.compile(r"[^\w .,:;+()%/'\"=-]|_")  # whatever could be more than a letter
_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST = 4 << 20  # bytes of a picture that is taken in


@dataclass(frozen=True)
class Section:
    """One page as HTML. `id` is that of its <section>, `title` its first heading as plain text."""

    id: str
    title: str
    html: str


@dataclass(frozen=True)
class Sources:
    """Where sections look things up: all `pages` by name, the `folder` that relative pictures are sought in and never outside of,
    and the name `here` of the HTML page itself."""

    pages: dict[str, str]
    folder: Path
    here: str
    board: str = "leaderboard"  # the pages' own folder under `folder`

    @cached_property
    def ids(self) -> dict[str, str]:
        """The id of each Markdown page. Distinct, because names that become one get a number."""
        taken: dict[str, str] = {}
        for name in self.pages:
            if name.endswith(".md"):
                taken[name] = _distinct("p-" + _slug(name.removesuffix(".md")), taken.values())
        return taken


@dataclass
class _Page:
    """The state of one conversion."""

    name: str
    sources: Sources
    headings: list[str] = field(default_factory=list)


def sections(sources: Sources) -> list[Section]:
    """All Markdown pages of `sources`, in their order."""
    reader = MarkdownIt("commonmark", {"html": False})
    # First of all: every other rule would read the lines of a table, one by one, to see that it is none of its own.
    reader.block.ruler.before("code", "our_table", _table, {"alt": ["paragraph", "reference"]})
    reader.add_render_rule("our_table", lambda self, tokens, k, options, env: tokens[k].content)
    return [_section(reader, name, sources) for name in sources.ids]


def _section(reader: MarkdownIt, name: str, sources: Sources) -> Section:
    page, title = _Page(name, sources), ""
    tokens = reader.parse(sources.pages[name].removeprefix(MARK), {"page": page})
    for before, token in zip([None, *tokens], tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"  # the document has a first heading of its own
        elif token.type == "inline":
            _inline(token.children or [], page)
            if before is not None and before.type == "heading_open":
                text = _text(token)
                before.attrSet("id", _heading(page, text))
                title = title or text
    body = reader.renderer.render(tokens, reader.options, {})
    label = f' aria-labelledby="{page.headings[0]}"' if page.headings else ""
    section_id = sources.ids[name]
    return Section(section_id, title or name, f'<section class="page" id="{section_id}"{label}>\n{body}</section>\n')


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table whose lines begin with a bar, as all of ours do. The reader's own rule makes six objects of each cell, and pages
    are mostly cells: this one is several times as fast, and knows that the first cell of a row is its head."""

    def line(number: int) -> str:
        return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]

    if start + 1 >= end or state.is_code_block(start) or not line(start).startswith("|"):
        return False
    heads, rule = _cells(line(start)), _cells(line(start + 1))
    if len(heads) != len(rule) or not all(_RULE.fullmatch(cell) for cell in rule):
        return False
    if silent:
        return True
    last = start + 2
    while last < end and state.sCount[last] >= state.blkIndent and line(last).startswith("|"):
        last += 1
    sides = [' class="center"' if c[0] == c[-1] == ":" else ' class="right"' if c[-1] == ":" else "" for c in rule]
    # A wide table scrolls inside its own box, which the keyboard can reach.
    made = ['<div class="scroll" tabindex="0" role="region" aria-label="table"><table>\n<thead>\n<tr>']
    made += [f'<th scope="col"{side}>{_shown(cell, state)}</th>' for cell, side in zip(heads, sides)]
    made += ["</tr>\n</thead>\n<tbody>\n"]
    for number in range(start + 2, last):
        cells = [_shown(cell, state) for cell in _cells(line(number))]
        cells = (cells + [""] * len(heads))[: len(heads)]
        made += [f'<tr><th scope="row"{sides[0]}>{cells[0]}</th>']
        made += [f"<td{side}>{cell}</td>" for cell, side in zip(cells[1:], sides[1:])]
        made += ["</tr>\n"]
    token = state.push("our_table", "", 0)
    token.map, token.content = [start, last], "".join([*made, "</tbody>\n</table></div>\n"])
    state.line = last
    return True


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(line.strip().removeprefix("|").removesuffix("|"))]


def _shown(cell: str, state: StateBlock) -> str:
    """A cell as HTML. Most are numbers and words without any mark, which need no reading."""
    if not _MARKS.search(cell):
        return escape(cell)
    tokens: list[Token] = []
    state.md.inline.parse(cell, state.md, state.env, tokens)
    for token in tokens:  # an escaped character, which the reader joins with its neighbours only later
        token.type = "text" if token.type == "text_special" else token.type
    _inline(tokens, state.env["page"])
    return state.md.renderer.render(tokens, state.md.options, state.env)


def _inline(tokens: list[Token], page: _Page) -> None:
    """Links and pictures of a line, changed in place. A link that is not safe becomes its text, a picture that is not here its
    description."""
    kept = []
    for token in tokens:
        if token.type == "link_open":
            target = _target(str(token.attrs.get("href", "")), page)
            kept.append(target is not None)
            token.tag, token.attrs = ("a", {"href": target}) if target else ("span", {})
            if target and re.match("https?:", target):
                token.attrSet("rel", "noopener noreferrer")
        elif token.type == "link_close":
            token.tag = "a" if kept.pop() else "span"
        elif token.type == "image":
            picture = _picture(str(token.attrs.get("src", "")), page)
            if picture:
                token.attrs = {"src": picture, "alt": ""}  # the renderer fills in the description
            else:
                token.type, token.tag, token.content, token.children = "text", "", _text(token), None


def _target(href: str, page: _Page) -> str | None:
    """Where a link leads from the one page: inside it where it can, else where it led; None where it must not lead."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return None
    if parts.scheme or parts.netloc:
        return href if parts.scheme in ("http", "https") and parts.netloc else None
    if parts.path.startswith("/"):
        return None
    name = posixpath.normpath(posixpath.join(posixpath.dirname(page.name), unquote(parts.path))) if parts.path else page.name
    if name == page.sources.here:
        return "#table"
    section = page.sources.ids.get(name)
    if section:
        return f"#{section}" + (f"--{_slug(unquote(parts.fragment))}" if parts.fragment else "")
    return href


def _picture(src: str, page: _Page) -> str | None:
    """A picture as a data URI: an SVG that was made with the pages, or a PNG of the checkout. None for all else.

    As an <img> neither can run a script or fetch anything.
    """
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page.name), unquote(src)))
    made = page.sources.pages.get(path)
    if made is not None and path.endswith(".svg"):
        return "data:image/svg+xml;base64," + b64encode(made.encode()).decode()
    if not path.endswith(".png") or ":" in src:
        return None
    folder = page.sources.folder.resolve()
    file = (folder / page.sources.board / path).resolve()
    if not file.is_relative_to(folder) or not file.is_file() or file.stat().st_size > _LARGEST:
        return None
    content = file.read_bytes()
    return "data:image/png;base64," + b64encode(content).decode() if content.startswith(_PNG) else None


def _heading(page: _Page, text: str) -> str:
    made = _distinct(f"{page.sources.ids[page.name]}--{_slug(text)}", page.headings)
    page.headings.append(made)
    return escape(made)


def _text(token: Token) -> str:
    """What a reader sees of a line."""
    return "".join(_text(child) if child.type == "image" else child.content for child in token.children or [])


def _slug(text: str) -> str:
    """As GitHub makes the anchor of a heading, in ASCII alone: what is left is safe anywhere."""
    return re.sub(r"\s+", "-", re.sub(r"[^a-z0-9_\s-]", "", text.lower().strip()))


def _distinct(name: str, taken) -> str:
    known, k, made = set(taken), 0, name
    while made in known:
        k += 1
        made = f"{name}-{k}"
    return made
