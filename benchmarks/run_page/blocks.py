"""What a page is made of, whatever it is written in. Texts are plain: the writers escape them."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.board.text import Table


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str
    warning: bool = False


@dataclass(frozen=True)
class Fact:
    """A number that stands out: `value` large, what it is above it, its interval below."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Facts:
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Drawing:
    """An SVG picture. `name` is that of its file, where it has one."""

    name: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Photo:
    """A PNG picture with its caption."""

    name: str
    png: bytes
    caption: str


@dataclass(frozen=True)
class Photos:
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class Commands:
    lines: tuple[str, ...]


Block = Heading | Paragraph | Facts | Drawing | Photos | Commands | Table


@dataclass(frozen=True)
class Page:
    title: str
    blocks: tuple[Block, ...]
