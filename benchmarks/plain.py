"""Text from elsewhere, made safe to show: on one line, without characters that repaint a terminal or turn a line around."""

from __future__ import annotations

import re

# Control and format characters (direction overrides, zero-width ones, tags), line separators, and halves of surrogate pairs, which
# no file in UTF-8 can hold. Written out: asking unicodedata for each of a million characters would take a tenth of a second.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
    "\ud800-\udfff]+"
)
LONGEST = 300  # characters; an error longer than this is a log, and belongs in the record


def printable(text: object) -> str:
    """`text` on one line, each run of characters that do not print as one space. Nothing is cut."""
    return UNPRINTABLE.sub(" ", str(text))


def plain(text: object, whole: bool = False) -> str:
    """`text` on one line, without control characters and double spaces, cut to 300 characters unless `whole`."""
    line = str(text)
    if not line.isprintable() or "  " in line or line != line.strip():  # most is plain already
        line = " ".join(printable(line).split())
    return line if whole or len(line) <= LONGEST else line[: LONGEST - 3] + "..."
