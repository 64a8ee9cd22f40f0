import math
from collections import Counter
from hashlib import blake2b
from uuid import UUID

import bm25s
import pytest

from documents.searching import lexical

TENANT, OTHER = UUID(int=1), UUID(int=2)

CORPUS = [
    "The boundary layer separates from the wing at high angles of attack.",
    "Heat transfer in a laminar boundary layer with a pressure gradient.",
    "The wing of the aircraft was tested in a slipstream behind a propeller.",
    "Flutter of thin panels at supersonic speeds, measured in a wind tunnel with wings.",
    "A wing, a wing, and another wing.",
]


def score(question: str, corpus: list[str]) -> list[float]:
    analysed = [Counter(lexical.terms(text)) for text in corpus]
    average = sum(map(Counter.total, analysed)) / len(corpus)
    scores = []
    for counts in analysed:
        ids = {lexical.term_id(TENANT, term): count for term, count in counts.items()}
        weights = lexical.document_weights(ids, length=counts.total(), average_length=average)
        total = 0.0
        for term in set(lexical.terms(question)):
            containing = sum(term in other for other in analysed)
            total += lexical.idf(len(corpus), containing) * weights.get(lexical.term_id(TENANT, term), 0.0)
        scores.append(total)
    return scores


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Wings were flying", ["wing", "fli"]),
        ("invoice 48213", ["invoic", "48213"]),
        ("3.5 or 1,190", ["3.5", "1190"]),
        ("AB-123", ["ab123", "ab", "123"]),
        ("boundary-layer", ["boundari", "layer"]),
        ("the company's", ["compani"]),
        ("U.S. troops in May", ["us", "troop", "may"]),
        ("the company’s", ["compani"]),
        ("ﬁne Ｗｉｎｇ", ["fine", "wing"]),
        ("STRASSE straße", ["strass", "strass"]),
        ("東京都 ok", ["東京", "京都", "ok"]),
        ("水", ["水"]),
        ("हिन्दी", ["हिन्दी"]),
        ("... — !", []),
        ("", []),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert lexical.terms(text) == expected


def test_a_code_is_found_with_and_without_its_separator() -> None:
    assert set(lexical.terms("ab123")) & set(lexical.terms("order AB-123."))


def test_accents_written_in_one_or_in_two_characters_are_one_term() -> None:
    assert lexical.terms("caf\u00e9") == lexical.terms("cafe\u0301")


def test_ascii_and_other_texts_are_analysed_alike() -> None:
    text = "Order AB-123 of 1,190 re-entry wings, v1.2: the company's 3.5"
    assert lexical.terms(text + " é")[:-1] == lexical.terms(text)


def test_ids_are_stable_within_bounds_and_differ_by_tenant() -> None:
    assert (
        lexical.term_id(TENANT, "wing")
        == 1 + int.from_bytes(blake2b(TENANT.bytes + b"wing", digest_size=8).digest()) % 999_999_999
    )
    ids = {lexical.term_id(TENANT, str(number)) for number in range(20_000)}
    assert all(1 <= term <= 999_999_999 for term in ids)
    assert len(ids) > 19_990
    assert lexical.term_id(TENANT, "wing") != lexical.term_id(OTHER, "wing")


@pytest.mark.parametrize("question", ["wing", "boundary layer heat", "supersonic wings in a wind tunnel"])
def test_scores_are_those_of_bm25s(question: str) -> None:
    model = bm25s.BM25(k1=lexical.K1, b=lexical.B, method="lucene")
    model.index([lexical.terms(text) for text in CORPUS], show_progress=False)
    expected = model.get_scores(lexical.terms(question))
    assert score(question, CORPUS) == pytest.approx(list(map(float, expected)), rel=1e-5)


def test_weights_stay_below_one_and_a_longer_text_weighs_less() -> None:
    short = lexical.document_weights({1: 50, 2: 1}, length=51, average_length=100.0)
    long = lexical.document_weights({1: 50, 2: 1}, length=400, average_length=100.0)
    assert 0 < short[2] < short[1] < 1
    assert long[1] < short[1]


def test_no_more_terms_than_a_sparsevec_holds_and_the_strongest_are_kept() -> None:
    weights = lexical.document_weights(
        {n: 1 + (n == 20_000) for n in range(1, 20_001)}, length=20_001, average_length=1.0
    )
    assert len(weights) == 16_000
    assert 20_000 in weights


def test_an_empty_corpus_divides_by_nothing() -> None:
    assert lexical.document_weights({}, length=0, average_length=0.0) == {}
    assert lexical.idf(0, 0) == pytest.approx(math.log(2))


def test_idf_falls_with_the_number_of_documents_and_is_never_negative() -> None:
    values = [lexical.idf(100, containing) for containing in range(101)]
    assert values == sorted(values, reverse=True)
    assert values[-1] > 0


def test_a_character_that_stands_for_a_sentence_counts_for_little_where_there_is_nothing_else() -> None:
    """Time grows with the terms: 1,000 of these would be 4,000 words."""
    assert len(lexical.terms("\ufdfa")) == 4
    assert len(lexical.terms("\ufdfa " * 1_000)) < 1_000


@pytest.mark.parametrize(
    ("chunks", "containing", "expected"),
    [
        (3, 1, 1.0), (10, 3, 1.0), (10, 7, 0.0), (100, 10, 1.0), (100, 15, 0.5), (10_000, 500, 1.0),
        (10_000, 750, 0.5), (10_000, 1_000, 0.0), (10_000, 10_000, 0.0), (1, 1, 1.0), (0, 0, 1.0),
    ],
)  # fmt: skip
def test_a_word_tells_the_less_the_more_chunks_have_it(chunks: int, containing: int, expected: float) -> None:
    assert lexical.telling(chunks, containing) == pytest.approx(expected)
