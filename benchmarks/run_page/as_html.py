"""A page as one HTML file that needs nothing else: no script, no font, no picture from elsewhere; light, dark, on a phone."""

from __future__ import annotations

import base64
from html import escape

from benchmarks.board.text import Table, plain
from benchmarks.run_page.blocks import Block, Commands, Drawing, Facts, Heading, Page, Paragraph, Photos

# Nothing is fetched and no script runs, whatever a record holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --paper: #fff; --soft: #59636e; --line: #d1d9e0; --wash: #f6f8fa; --warn: #9a6700 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9198a1; --line: #3d444d; --wash: #151b23; --warn: #d29922 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); overflow-wrap: break-word }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0 1rem }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line) }
p { margin: .5rem 0 }
.warning { border-left: 4px solid var(--warn); padding-left: .75rem }
.facts { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0 }
.facts div { flex: 1 1 12rem; padding: .75rem 1rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--wash) }
.facts b { display: block; font-size: 1.7rem; line-height: 1.3; font-variant-numeric: tabular-nums }
.facts small, figcaption, .notes { color: var(--soft) }
.notes { font-size: .875rem }
.scroll { overflow-x: auto; margin: .75rem 0 }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem; border: 1px solid var(--line) }
td { max-width: 32rem }
th { background: var(--wash) }
figure { margin: 1rem 0; overflow-x: auto }
figure svg { display: block; width: 100%; height: auto; min-width: 30rem; max-width: 44rem }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem }
.photos figure { margin: 0 }
.photos img { width: 100%; height: auto; display: block; border-radius: .25rem }
figcaption { font-size: .875rem }
pre { padding: .75rem; border-radius: .5rem; background: var(--wash); white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem }
"""


def html(page: Page) -> str:
    """The text of the file."""
    title = _text(page.title)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f"<title>{title}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            f"<h1>{title}</h1>",
            *map(_block, page.blocks),
            "</body>",
            "</html>",
            "",
        ]
    )


def _block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{_text(text)}</h2>"
        case Paragraph(text, warning):
            kind = ' class="warning"' if warning else ""
            return f"<p{kind}>{_text(text, whole=True)}</p>"
        case Facts(facts):
            inner = (f"<div>{_text(f.label)}<b>{_text(f.value)}</b><small>{_text(f.detail)}</small></div>" for f in facts)
            return f'<div class="facts">{"".join(inner)}</div>'
        case Drawing(_, svg, alt):
            return f"<figure>{svg}<figcaption>{_text(alt)}</figcaption></figure>"
        case Photos(photos):
            inner = (
                f'<figure><img alt="{_text(p.caption)}" src="data:image/png;base64,{base64.b64encode(p.png).decode()}">'
                f"<figcaption>{_text(p.caption)}</figcaption></figure>"
                for p in photos
            )
            return f'<div class="photos">{"".join(inner)}</div>'
        case Commands(lines):
            return f"<pre>{chr(10).join(_text(line, whole=True) for line in lines)}</pre>"
        case Table():
            return _table(block)
    raise TypeError(f"no such block: {block!r}")


def _table(table: Table) -> str:
    if not len(table.frame):
        return f"<p>{_text(table.missing)}</p>"
    head = "".join(f'<th scope="col">{_text(c)}</th>' for c in table.frame.columns)
    body = "".join("<tr>" + "".join(f"<td>{_text(c)}</td>" for c in row) + "</tr>\n" for row in table.frame.values.tolist())
    # Not the table's own caption: on a phone that would be as wide as the table, and go out of sight.
    caption = f'<p class="notes">{_text(table.caption, whole=True)}</p>' if table.caption else ""
    notes = "".join(f'<p class="notes">Note: {_text(n)}</p>' for n in table.notes)
    return f'{caption}<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>{notes}'


def _text(text: object, whole: bool = False) -> str:
    return escape(plain(text, whole))
