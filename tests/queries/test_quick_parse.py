"""What the quick check of a question accepts, `QueryIn` accepts as the same Ask."""

import json
import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queries import quick_parse
from queries.answers import Ask
from queries.serializers import MAX_QUESTION, QueryIn

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
TEXT = st.text(st.characters(exclude_categories=()), max_size=120) | st.sampled_from(
    ["", " ", " kettle\n", "a\0b", "\ud800", "\ufeffa"]
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "question": TEXT | JSON,
    "top_k": st.integers(-1, 52) | st.floats(0, 51) | st.booleans() | st.sampled_from(["5", None]) | JSON,
    "collection": TEXT | JSON,
    "document_ids": st.none() | st.lists(st.uuids().map(str), max_size=2) | JSON,
    "metadata": st.none() | st.dictionaries(st.text(), JSON, max_size=2) | JSON,
    "route": st.sampled_from(["auto", "documents", "database", "Auto", "", None]) | JSON,
    "database": TEXT | JSON,
    "stream": st.booleans() | st.sampled_from([None, 0, 1, "false"]) | JSON,
    "use_cache": st.booleans() | st.sampled_from([None, 0, 1, "true"]) | JSON,
    "unknown": JSON,
}
GOOD = st.fixed_dictionaries(
    {"question": st.text(min_size=1)},
    optional={
        "top_k": st.none() | st.integers(1, 50),
        "collection": st.none() | st.text(max_size=110),
        "route": st.sampled_from(["auto", "documents", "database"]),
        "database": st.none() | st.text(max_size=110),
        "document_ids": st.none(),
        "metadata": st.none(),
        "stream": st.sampled_from([False]),
        "use_cache": st.sampled_from([True]),
    },
)
# All is right but one field, perhaps: of a body where everything is odd little would be accepted.
BODIES = st.builds(
    operator.or_,
    GOOD,
    st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.fixed_dictionaries({name: FIELDS[name]})),
)


def slowly(body: bytes) -> tuple[Ask, bool, bool]:
    """What `QueryIn` makes of a body: ask, stream, use_cache; raises where it refuses it."""
    serializer = QueryIn(data=json.loads(body))
    serializer.is_valid(raise_exception=True)
    return serializer.ask(), serializer.validated_data["stream"], serializer.validated_data["use_cache"]


@settings(deadline=None)
@given(body=BODIES | GOOD, ascii_only=st.booleans())
def test_what_the_quick_check_accepts_is_the_same_to_the_serializer(
    *, body: dict[str, Any], ascii_only: bool
) -> None:
    sent = json.dumps(body, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    quick = quick_parse.ask(sent)
    if quick is not None:
        assert (quick, False, True) == slowly(sent)


@settings(deadline=None)
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_question_is_left_to_the_serializer(body: bytes) -> None:
    assert quick_parse.ask(body) is None


@pytest.mark.parametrize(
    ("body", "ask"),
    [
        ('{"question": "  How long?\\n"}', Ask("How long?")),
        ('{"question": "Ölkännchen ☕ \\ud83d\\ude00", "top_k": 50}', Ask("Ölkännchen ☕ 😀", top_k=50)),
        ('{"question": "a", "question": "b"}', Ask("b")),
        (' {"question" : "a" , "top_k" : null } ', Ask("a")),
        ('{"question": "a", "collection": " odd ", "route": "documents"}', Ask("a", collection="odd", route="documents")),
        ('{"question": "a", "metadata": null, "document_ids": null, "stream": false, "use_cache": true}', Ask("a")),
        (json.dumps({"question": "a" * MAX_QUESTION + " "}), Ask("a" * MAX_QUESTION)),
    ],
)  # fmt: skip
def test_a_plain_question_is_accepted(body: str, ask: Ask) -> None:
    assert quick_parse.ask(body.encode()) == ask
    assert slowly(body.encode()) == (ask, False, True)


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[]", "null", "{}", '{"question": ""}', '{"question": " \\n"}', '{"question": 5}', '{"question": null}',
        '{"question": ["a"]}', '{"question": "a\\u0000"}', '{"question": "\\ud800"}', '{"question": "a"} x',
        '{"question": "a", "top_k": true}', '{"question": "a", "top_k": 5.0}', '{"question": "a", "top_k": "5"}',
        '{"question": "a", "top_k": 0}', '{"question": "a", "top_k": 51}', '{"question": "a", "top_k": NaN}',
        '{"question": "a", "topk": 5}', '{"question": "a", "stream": true}', '{"question": "a", "use_cache": false}',
        '{"question": "a", "use_cache": 1}', '{"question": "a", "metadata": {}}', '{"question": "a", "document_ids": []}',
        '{"question": "a", "route": null}', '{"question": "a", "route": "sideways"}', '{"question": "a", "route": []}',
        '{"question": "a", "collection": ""}', '{"question": "a", "csrfmiddlewaretoken": "a"}',
        '\ufeff{"question": "a"}', json.dumps({"question": "a" * (MAX_QUESTION + 1)}), "[" * 100_000,
    ],
)  # fmt: skip
def test_anything_else_is_left_to_the_serializer(body: str) -> None:
    assert quick_parse.ask(body.encode()) is None
