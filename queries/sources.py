"""The sources of an answer. Neighbouring chunks of a document are one source, with one span of the document's text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from documents import texts
from documents.searching.search import Hit
from documents.texts import Span

# Two chunks are neighbours if there is only white space between them, and no more characters of it than this.
WIDEST_GAP = 200


@dataclass(frozen=True, slots=True)
class Source:
    """`text` is exactly `document_text[start:end]`; an answer cites it as `[n]`, from 1. Pages count from 1.

    `hits` are the chunks that it is made of, in the document's order; there is at least one.
    """

    n: int
    start: int
    end: int
    text: str
    hits: tuple[Hit, ...]

    @property
    def best(self) -> Hit:
        return max(self.hits, key=lambda hit: hit.score)

    @property
    def title(self) -> str:
        return self.hits[0].title

    @property
    def first_page(self) -> int | None:
        return self.hits[0].first_page

    @property
    def last_page(self) -> int | None:
        return self.hits[-1].last_page

    def cut(self, characters: int) -> "Source":
        """Its beginning: at most `characters` and at least one, cut between words where there is white space."""
        if characters >= len(self.text):
            return self
        kept = self.text[: max(characters, 1)]
        words = kept.rsplit(maxsplit=1)
        if len(words) == 2 and not self.text[len(kept)].isspace():
            kept = kept[: -len(words[1])]
        kept = kept.rstrip() or kept
        end = self.start + len(kept)
        hits = tuple(hit for hit in self.hits if hit.start < end)
        return replace(self, end=end, text=kept, hits=hits)

    def shown(self) -> dict[str, Any]:
        """As the API shows it; `chunk_id` and `score` are those of its best chunk."""
        return {
            "n": self.n,
            "document_id": str(self.best.document_id),
            "title": self.title,
            "collection": self.best.collection,
            "page": self.first_page,
            "last_page": self.last_page,
            "chunk_id": str(self.best.chunk_id),
            "chunk_ids": [str(hit.chunk_id) for hit in self.hits],
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "score": self.best.score,
        }


def shown(sources: Iterable[Source]) -> list[dict[str, Any]]:
    return [source.shown() for source in sources]


def each(hits: Sequence[Hit]) -> list[Source]:
    """One source for each hit, in order, as a search shows them."""
    return [Source(number, hit.start, hit.end, hit.text, (hit,)) for number, hit in enumerate(hits, start=1)]


def merged(tenant_id: UUID, hits: Sequence[Hit]) -> list[Source]:
    """The hits as sources, neighbours joined, in the order of their best hits. Reads the text between neighbours."""
    rank = {hit.chunk_id: number for number, hit in enumerate(hits)}
    in_order = sorted(hits, key=lambda hit: (hit.document_id, hit.start, hit.end))
    found: list[Source] = []
    for source, gap in zip(each(in_order), _gaps(tenant_id, in_order), strict=True):
        if gap is None or gap.strip():
            found.append(source)
        else:
            found[-1] = _joined(found[-1], gap, source)
    found.sort(key=lambda source: min(rank[hit.chunk_id] for hit in source.hits))
    return [replace(source, n=number) for number, source in enumerate(found, start=1)]


def _gaps(tenant_id: UUID, hits: Sequence[Hit]) -> list[str | None]:
    """The text between each hit and those before it in its document. None where there are none before it, where the gap
    is too wide, or where its text cannot be read any more."""
    spans = list(_spans_before(hits))
    wanted = [span for span in spans if span and 0 < span.end - span.start <= WIDEST_GAP]
    read: dict[Span | None, str | None] = dict(zip(wanted, texts.read(tenant_id, wanted), strict=True))
    return ["" if span and span.end <= span.start else read.get(span) for span in spans]


def _spans_before(hits: Sequence[Hit]) -> Iterator[Span | None]:
    reached, document = 0, None
    for hit in hits:
        yield Span(hit.document_id, reached, hit.start) if hit.document_id == document else None
        reached = hit.end if hit.document_id != document else max(reached, hit.end)
        document = hit.document_id


def _joined(one: Source, gap: str, other: Source) -> Source:
    beyond = max(0, one.end - other.start)  # how many characters of the other this one has too
    return replace(
        one,
        end=max(one.end, other.end),
        text=one.text + gap + other.text[beyond:],
        hits=(*one.hits, *other.hits),
    )
