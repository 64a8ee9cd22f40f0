"""Which module reads which media type.

Each module has `parse(path: Path, limits: Limits) -> ParsedDocument` and raises `UnreadableError`; those with
`read(raw: bytes, limits: Limits)` also read what hangs on a mail. They are named here and imported only in the parsing
server and its children, so that nobody else pays for their libraries.
"""

from typing import Final

PARSERS: Final[dict[str, str]] = {
    "text/plain": "documents.formats.text",
    "text/markdown": "documents.formats.markdown",
    "application/pdf": "documents.formats.pdf",
    "text/html": "documents.formats.html",
    "text/csv": "documents.formats.csv",
    "message/rfc822": "documents.formats.eml",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "documents.formats.docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "documents.formats.pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "documents.formats.xlsx",
}
