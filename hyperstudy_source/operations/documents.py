"""A document of headings, paragraphs, tables and diagrams, written as Markdown or as one HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Union

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }
th, td { border: 1px solid #ccc; padding: .3rem .5rem; text-align: left; vertical-align: top; }
th { background: #f2f2f2; } pre { background: #f7f7f7; padding: 1rem; overflow-x: auto; }
"""


@dataclass(frozen=True)
class Heading:
    """A heading; 1 is that of the whole document."""

    text: str
    level: int


@dataclass(frozen=True)
class Paragraph:
    """Sentences."""

    text: str


@dataclass(frozen=True)
class Grid:
    """A table."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Diagram:
    """A diagram in the language of Mermaid."""

    text: str


Block = Union[Heading, Paragraph, Grid, Diagram]


def as_markdown(blocks: Iterable[Block]) -> str:
    """The document in the Markdown of GitHub, which draws diagrams."""
    return "\n\n".join(map(_markdown, blocks)) + "\n"


def as_html(blocks: Sequence[Block]) -> str:
    """The document as a page that loads nothing from elsewhere."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "")
    body = "\n".join(map(_html, blocks))
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n")


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Paragraph):
        return block.text
    if isinstance(block, Diagram):
        return f"```mermaid\n{block.text.rstrip()}\n```"
    lines = [block.header, ["---"] * len(block.header), *block.rows]
    return "\n".join(f"| {' | '.join(map(_markdown_cell, line))} |" for line in lines)


def _markdown_cell(text: str) -> str:
    """A text that neither ends the cell nor is taken for HTML or emphasis."""
    return re.sub(r"([\\|*])", r"\\\1", " ".join(text.split())).replace("<", "&lt;")


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        return f"<p>{escape(block.text)}</p>"
    if isinstance(block, Diagram):
        return f"<details><summary>The diagram, for mermaid.live</summary><pre>{escape(block.text)}</pre></details>"
    head = "".join(f"<th>{escape(text)}</th>" for text in block.header)
    rows = "\n".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in block.rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
