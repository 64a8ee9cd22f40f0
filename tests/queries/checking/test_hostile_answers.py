"""Whatever a model writes: no address that is not in a source, no markup that runs, no citation of what was not given."""

import json
import random
from typing import Any

import pytest

from queries.checking import defusing
from queries.models import Query
from tests.makers import Party, ingest
from tests.model_server import Behaviour, ModelServer
from tests.queries.checking import hostile
from tests.queries.checking.test_defusing import make_sources

ADDRESSES = ("https://ok.example/a?b=1", "https://ok.example/?q=", "www.ok.example")
TEXT = "The warranty of the kettle lasts three years. See https://ok.example/a?b=1, https://ok.example/?q= or www.ok.example."
ANSWERS = hostile.answers(150, seed=20261121, addresses=ADDRESSES)  # thousands, without HTTP, below
QUESTION = "How long does the warranty of the kettle last?"


def events(content: bytes) -> list[tuple[str, Any]]:
    framed = [block.split("\n") for block in content.decode().strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in framed]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_no_harm_is_left_in_thousands_of_answers(seed: int) -> None:
    sources = make_sources(TEXT)
    chance = random.Random(seed)
    for answer in hostile.answers(1_000, seed=seed, addresses=ADDRESSES):
        shown = defusing.harmless(answer, sources)
        assert not list(hostile.harm(shown, [TEXT], given=frozenset({1}))), (answer, shown)
        cuts = sorted(chance.randrange(len(answer)) for _ in range(chance.randint(0, 12)))
        pieces = [answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
        assert "".join(defusing.streamed(pieces, sources)) == shown, answer


@pytest.mark.django_db
def test_no_harm_reaches_who_asks_whole_or_streamed(ours: Party, theirs: Party, model: ModelServer) -> None:
    ingest(ours.tenant, TEXT, filename="kettle.txt")
    ingest(theirs.tenant, "The marmalade of the quarry is theirs alone.", filename="theirs.txt")
    for answer in ANSWERS:
        model.reset(Behaviour(reply=answer))
        whole = ours.client.post(
            "/api/query", {"question": QUESTION, "use_cache": False}, format="json"
        ).json()
        told: Any = ours.client.post(
            "/api/query", {"question": QUESTION, "use_cache": False, "stream": True}, format="json"
        )
        parts = events(b"".join(told.streaming_content))
        streamed = "".join(data["text"] for name, data in parts if name == "token")
        given = frozenset(source["n"] for source in whole["sources"])
        texts = [source["text"] for source in whole["sources"]]
        assert not list(hostile.harm(whole["answer"], texts, given=given)), (answer, whole["answer"])
        assert streamed == whole["answer"] == parts[-1][1]["answer"]
        assert "marmalade" not in json.dumps(whole)
    kept = Query.objects.for_tenant(ours.tenant).values_list("answer", flat=True)
    assert not [harm for text in kept for harm in hostile.harm(text, [TEXT], given=frozenset({1}))]


@pytest.mark.django_db
def test_an_extractive_answer_quotes_a_hostile_document_harmlessly(ours: Party) -> None:
    for number, hidden in enumerate(hostile.answers(20, seed=5)):
        text = f"The warranty of kettle{number} lasts three years, says the maker {hidden}"
        ingest(ours.tenant, text, filename=f"kettle{number}.txt")
        body = {"question": f"How long does the warranty of kettle{number} last?", "use_cache": False}
        whole = ours.client.post("/api/query", body, format="json").json()
        texts = [source["text"] for source in whole["sources"]]
        assert whole["generator"] == "extractive"
        assert not list(hostile.harm(whole["answer"], texts, given=frozenset(range(1, len(texts) + 1))))
