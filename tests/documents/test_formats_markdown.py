from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents.formats import markdown
from documents.structure import Block, Kind, Limits, ParsedDocument

EVERYTHING = """\
---
title: "The Guide"
tags: [a]
---

# A *big* [link](http://x.y) `code`

Some **bold** text
over two lines.

Set Below
---------

- one
- two
  - deeper

1. first

```python
# not a heading
```

| a | b |
|---|---|
| 1 | 2 |

> ## quoted

***

[ref]: http://example.org "kept"

### Deep ###
"""


def parsed(tmp_path: Path, source: str) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(source.encode("utf-8", "surrogatepass"))
    return markdown.parse(path, Limits())


def shown(document: ParsedDocument) -> list[tuple[Kind, str]]:
    return [(block.kind, document.text[block.start : block.end]) for block in document.blocks]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_kind_of_block_keeps_its_markup_and_its_place(tmp_path: Path, line_end: str) -> None:
    source = EVERYTHING.replace("\n", line_end)
    document = parsed(tmp_path, source)
    assert document.text == source
    assert [(kind, text.replace(line_end, "\n")) for kind, text in shown(document)] == [
        (Kind.PARAGRAPH, '---\ntitle: "The Guide"\ntags: [a]\n---'),
        (Kind.HEADING, "# A *big* [link](http://x.y) `code`"),
        (Kind.PARAGRAPH, "Some **bold** text\nover two lines."),
        (Kind.HEADING, "Set Below\n---------"),
        (Kind.LIST, "- one\n- two\n  - deeper"),
        (Kind.LIST, "1. first"),
        (Kind.CODE, "```python\n# not a heading\n```"),
        (Kind.TABLE, "| a | b |\n|---|---|\n| 1 | 2 |"),
        (Kind.PARAGRAPH, "> ## quoted"),
        (Kind.PARAGRAPH, '[ref]: http://example.org "kept"'),
        (Kind.HEADING, "### Deep ###"),
    ]


def test_a_heading_has_its_level_and_its_words_without_markup(tmp_path: Path) -> None:
    headings = [(b.level, b.label) for b in parsed(tmp_path, EVERYTHING).blocks if b.kind is Kind.HEADING]
    assert headings == [(1, "A big link code"), (2, "Set Below"), (3, "Deep")]


def test_the_front_matter_names_the_title_else_the_first_top_heading(tmp_path: Path) -> None:
    assert parsed(tmp_path, EVERYTHING).title == "The Guide"
    assert parsed(tmp_path, "## Sub\n\n# Main &amp; more\n\n# Second\n").title == "Main & more"
    assert parsed(tmp_path, "no headings\n").title == ""


def test_a_rule_at_the_top_is_no_front_matter(tmp_path: Path) -> None:
    document = parsed(tmp_path, "---\n\ntext that goes on\n")
    assert shown(document) == [(Kind.PARAGRAPH, "text that goes on")]


def test_an_empty_heading_is_a_paragraph(tmp_path: Path) -> None:
    assert parsed(tmp_path, "#\n\ntext\n").blocks == [Block(0, 1), Block(3, 7)]


def test_an_indented_code_block_keeps_its_indent(tmp_path: Path) -> None:
    assert shown(parsed(tmp_path, "para\n\n    x = 1\n    y = 2\n")) == [
        (Kind.PARAGRAPH, "para"),
        (Kind.CODE, "    x = 1\n    y = 2"),
    ]


def test_deep_nesting_and_long_lines_of_openers_end_soon(tmp_path: Path) -> None:
    for hostile in ("> " * 20_000 + "x", "[" * 50_000, "# " + "*a_ " * 50_000, "- " * 5_000 + "x"):
        document = parsed(tmp_path, hostile)
        assert document.blocks[0].start == 0
        assert document.blocks[-1].end == len(hostile.rstrip())


@given(
    st.lists(
        st.sampled_from(
            [
                "# a",
                "---",
                "- b",
                "  c",
                "```",
                "| d | e |",
                "|--|--|",
                "> f",
                "[g]: h",
                "",
                "<p>",
                "\t",
                "\x0c",
                "\u2028i",
                "    j",
                "===",
            ]
        ),
        max_size=12,
    )
)
def test_blocks_are_in_order_and_lose_no_word(lines: list[str]) -> None:
    source = "\n".join([*lines, "end"])
    reached = 0
    covered: set[int] = set()
    for block in markdown.structured(source).blocks:
        assert reached <= block.start < block.end <= len(source)
        reached = block.end
        covered.update(range(block.start, block.end))
    assert all(position in covered for position, character in enumerate(source) if character.isalpha())
