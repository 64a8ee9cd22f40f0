"""Which module reads which media type.

Each module has `parse(path: Path, limits: Limits) -> ParsedDocument` and raises `UnreadableError`. They are named here and
imported only in the parsing server and its children, so that nobody else pays for their libraries.
"""

from typing import Final

PARSERS: Final[dict[str, str]] = {
    "text/plain": "documents.formats.text",
    "text/markdown": "documents.formats.markdown",
    "application/pdf": "documents.formats.pdf",
}
