"""A page as Markdown, its pictures as files in a folder beside it."""

from __future__ import annotations

from benchmarks.board.text import Table, code, escape, markdown
from benchmarks.run_page.blocks import Block, Commands, Drawing, Facts, Heading, Page, Paragraph, Photos


def pictures(page: Page) -> dict[str, bytes]:
    """Every picture by its file name."""
    found = {f"{b.name}.svg": b.svg.encode() for b in page.blocks if isinstance(b, Drawing)}
    return found | {f"{p.name}.png": p.png for b in page.blocks if isinstance(b, Photos) for p in b.photos}


def text(page: Page, folder: str) -> str:
    """The text of the file; `folder` is where it finds its pictures, a name without spaces."""
    return "\n\n".join([f"# {escape(page.title)}", *(_block(block, folder) for block in page.blocks)]) + "\n"


def _block(block: Block, folder: str) -> str:
    match block:
        case Heading(words):
            return f"## {escape(words)}"
        case Paragraph(words, warning):
            return f"{'> ' if warning else ''}{escape(words, whole=True)}"
        case Facts(facts):
            return "\n".join(f"- {escape(f.label)}: **{escape(f.value)}** ({escape(f.detail)})" for f in facts)
        case Drawing(name, _, alt):
            return f"![{escape(alt)}]({folder}/{name}.svg)"
        case Photos(photos):
            return "\n\n".join(f"![{escape(p.caption)}]({folder}/{p.name}.png)\n\n*{escape(p.caption)}*" for p in photos)
        case Commands(lines):
            return code(list(lines))
        case Table():
            return markdown(block)
    raise TypeError(f"no such block: {block!r}")
