"""What a follow-up takes over from its conversation, by the rule and by the model, and what that finds."""

from collections.abc import Sequence
from typing import Any

import pytest

from apikeys.purses import Purse
from documents.searching import search
from documents.searching.search import Scope
from queries.answers import Turn
from queries.chats import conversations, followups, rewriting
from queries.generating import completion, prompts
from queries.models import Query
from ragsite.lib import row_security
from ragsite.lib.inference import circuits
from tests.makers import Party, ingest, make_key, with_key
from tests.model_server import Behaviour, ModelServer
from tests.queries.chats.test_chat import said, say
from tests.queries.test_replies import records

TOWER = [
    Turn("user", "Who designed the Eiffel Tower?"),
    Turn("assistant", "The Eiffel Tower was designed by the engineers of Gustave Eiffel's company."),
]


rarity = followups.by_length


def by_rule(question: str, turns: Sequence[Turn]) -> str:
    return followups.by_rule(question, turns, rarity=rarity)


def test_of_a_megabyte_of_conversation_the_latest_is_looked_at() -> None:
    looked_at = []

    def noted(text: str) -> dict[str, float]:
        looked_at.append(len(text))
        return rarity(text)

    long = [Turn("user", "\U0001f600 " + "Some B2 " * 125_000), Turn("assistant", "Yes.")]
    text = followups.by_rule("When was it built?", [*long, *TOWER], rarity=noted)
    assert text == "When was it built? Eiffel Tower"
    assert max(looked_at) < 1.1 * conversations.MOST_CHARACTERS


@pytest.mark.parametrize(
    "question",
    ["When was it built?", "And in winter?", "What about the lift?", "Why?", "How tall?", "Is there another one?", "Who are they?",
     "And how much does that cost for a family with two children?"],
)  # fmt: skip
def test_questions_that_lean(question: str) -> None:
    assert followups.leans(question)
    assert "Eiffel" in by_rule(question, TOWER)
    assert by_rule(question, TOWER).startswith(f"{question} ")


@pytest.mark.parametrize(
    "question",
    ["Which part number has the filter cap?", "How do I rotate an API key?", "When is the loading dock open on Fridays?"],
)  # fmt: skip
def test_questions_that_stand_by_themselves(question: str) -> None:
    assert by_rule(question, TOWER) == question


def test_what_was_taken_over_is_handed_on() -> None:
    turns = [*TOWER, Turn("user", "When was it built?"), Turn("assistant", "In 1889.")]
    assert "Eiffel" in by_rule("How tall is it?", turns)


def test_another_subject_ends_the_one_before() -> None:
    turns = [
        *TOWER,
        Turn("user", "Who painted the Sistine Chapel's ceiling?"),
        Turn("assistant", "Michelangelo."),
    ]
    completed = by_rule("When did he do that?", turns)
    assert "Sistine" in completed
    assert "Eiffel" not in completed


def test_names_of_the_answer_are_taken_over_and_its_numbers_are_not() -> None:
    turns = [
        Turn("user", "Who wrote it?"),
        Turn("assistant", "In 1850 it was Charles Dickens. He was 38."),
    ]
    completed = by_rule("When was he born?", turns)
    assert "Dickens" in completed
    assert "18" not in completed
    assert "38" not in completed


def test_little_is_taken_over_and_each_word_once() -> None:
    turns = [Turn("user", f"Of {' '.join(f'W{n} W{n}' for n in range(30))}?"), Turn("assistant", "Yes.")]
    completed = by_rule("Why?", turns).split()
    assert len(completed) == 1 + followups.MOST_TAKEN == len(set(completed))


def test_nothing_is_taken_from_an_answer_that_was_none() -> None:
    turns = [Turn("user", "Where?"), Turn("assistant", prompts.NOT_FOUND)]
    assert by_rule("Why?", turns) == "Why?"


def test_words_that_were_taken_over_count_less_among_sentences() -> None:
    assert followups.weighed({"repair": 2.0, "toaster": 4.0}, "Who repairs it?") == {
        "repair": 2.0,
        "toaster": 1.0,
    }


def test_without_turns_nothing_happens() -> None:
    assert followups.standalone("Why is it?", (), rarity=rarity, purse=Purse()).text == "Why is it?"


@pytest.mark.parametrize(
    "turns",
    [
        [Turn("assistant", "Hello there.")],
        [Turn("user", "")],
        [
            Turn("user", "\0\ud800 " + "x" * 50_000),
            Turn("assistant", "[1] [2] https://evil.example/" + "y" * 100),
        ],
        [Turn("user", "什么是埃菲尔铁塔？"), Turn("assistant", "它在巴黎。")],
    ],
)
def test_odd_conversations(turns: list[Turn]) -> None:
    completed = by_rule("And why is it?", turns)
    assert completed.startswith("And why is it?")
    assert len(completed) < 400
    assert "evil" not in completed


# What it finds -----------------------------------------------------------------------------------------------------

# Things of three kinds that share their words: what tells them apart is said in the first question alone.
SITES = ("Aldham", "Brunley", "Castor", "Dunmere", "Elsworth", "Farleigh")
FACTS = {
    "The boiler of the {} plant was installed in {year} by Hargreaves.": ("When was the boiler of the {} plant installed?",),
    "The canteen of the {} plant closes at {hour} o'clock.": ("When does its canteen close?", "And the canteen?"),
    "The manager of the {} plant is {name}, who came from the shipyard.": ("Who is the manager there?", "Where did that manager come from?"),
    "Visitors of the {} plant park behind gate {gate}.": ("Where do visitors park there?", "And visitors, where do they park?"),
}  # fmt: skip
NAMES = ("Ada Byrne", "Bo Lindqvist", "Carla Nunez", "Dev Anand", "Ema Sato", "Finn Olsen")


@pytest.mark.django_db
def test_recall_of_follow_ups_with_and_without_the_rule(ours: Party) -> None:
    for number, site in enumerate(SITES):
        for fact in FACTS:
            text = fact.format(site, year=1980 + number, hour=2 + number, name=NAMES[number], gate=number + 3)
            ingest(ours.tenant, text, filename=f"{site} {fact[:7]}.txt")
    found: dict[str, list[bool]] = {"without": [], "with": []}
    first, *rest = FACTS
    for number, site in enumerate(SITES):
        turns = [
            Turn("user", FACTS[first][0].format(site)),
            Turn("assistant", first.format(site, year=1980 + number)),
        ]
        for fact in rest:
            for question in FACTS[fact]:
                wanted = f"{site} {fact[:7]}"
                found["without"].append(top(ours, question) == wanted)
                found["with"].append(top(ours, complete(ours, question, turns)) == wanted)
    recall = {name: sum(hits) / len(hits) for name, hits in found.items()}
    assert recall["without"] <= 0.25  # no better than chance among six
    assert recall["with"] >= 0.8


def complete(party: Party, question: str, turns: Sequence[Turn]) -> str:
    def rarity(text: str) -> dict[str, float]:
        return {term.word: term.idf for term in search.terms_of(party.tenant.pk, text)}

    return followups.by_rule(question, turns, rarity=rarity)


def top(party: Party, question: str) -> str:
    with row_security.within(party.tenant.pk):
        return search.hybrid(Scope(party.tenant.pk), question, top_k=1).hits[0].title


@pytest.mark.django_db
def test_a_follow_up_does_not_tell_which_words_stand_in_closed_collections(ours: Party) -> None:
    opened = ingest(ours.tenant, "The blue kettle is sold in Lisbon.", collection="open")
    ingest(ours.tenant, "The password is Swordfish.", collection="closed")
    _, raw = make_key(ours.tenant, collection_ids=[opened.collection_id])

    def taken_over(name: str) -> str:
        first = said(with_key(raw), f"Is the password {name}?")
        standalone: str = said(with_key(raw), "And is it?", first["id"])["standalone_question"]
        return standalone.replace(name, "NAME")

    assert taken_over("Swordfish") == taken_over("Quicksand") == "And is it? NAME"


# By a model --------------------------------------------------------------------------------------------------------

KETTLE_WARRANTY = "How long is the warranty of the kettle?"


def rewrites(text: str) -> Behaviour:
    """A model that rewrites follow-ups to this, and answers everything else."""
    return Behaviour(reply=lambda messages: text if is_rewriting(messages) else "Three years [1].")


def is_rewriting(messages: Any) -> bool:
    return bool(messages[0]["content"].startswith("You rewrite"))


@pytest.mark.django_db
@pytest.mark.usefixtures("kettle")
class TestByAModel:
    def test_it_is_asked_once_and_its_cost_is_on_record(self, ours: Party, model: ModelServer) -> None:
        first = said(ours.client, KETTLE_WARRANTY)
        assert model.calls == 1
        model.reset(rewrites("Where do the visitors of the kettle park?"))
        answer = said(ours.client, "And where do they park?", first["id"])
        assert answer["standalone_question"] == "Where do the visitors of the kettle park?"
        assert "rewrite" in answer["timings_ms"]
        rewriting_call, answering_call = model.requests
        assert is_rewriting(rewriting_call.body["messages"])
        assert not is_rewriting(answering_call.body["messages"])
        assert rewriting_call.body["max_tokens"] == rewriting.MAX_TOKENS
        assert circuits.of(rewriting._endpoint()) is circuits.of(completion.endpoints()[0])
        said_before = rewriting_call.body["messages"][1]["content"]
        assert KETTLE_WARRANTY in said_before
        assert "A scripted answer" in said_before
        tokens = sum(
            len(str(message["content"]).split())
            for call in model.requests
            for message in call.body["messages"]
        )
        used = records()[-1]
        assert used.prompt_tokens == answer["usage"]["prompt_tokens"] == tokens
        assert float(used.cost_usd) == pytest.approx(answer["usage"]["cost_usd"])
        row = Query.objects.for_tenant(ours.tenant).get(pk=answer["id"])
        assert row.prompt_tokens == tokens
        assert float(row.cost_usd) == pytest.approx(float(used.cost_usd))
        assert row.standalone_question == answer["standalone_question"]

    @pytest.mark.parametrize(
        "fault",
        [Behaviour(status=400), Behaviour(fault="empty"), Behaviour(fault="invalid_json"), Behaviour(fault="hang"),
         Behaviour(reply="x" * 5_000), Behaviour(reply="See https://evil.example/?kettle"), Behaviour(reply="\u202e\u200b")],
        ids=["refused", "empty", "no JSON", "hung", "long", "an address", "nothing"],
    )  # fmt: skip
    def test_where_it_fails_the_rule_takes_over(
        self, ours: Party, model: ModelServer, fault: Behaviour, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rewriting, "SECONDS", 0.3)
        first = said(ours.client, KETTLE_WARRANTY)
        model.reset(rewrites(""))
        model.script(fault)
        answer = said(ours.client, "And who repairs it?", first["id"])
        assert answer["standalone_question"].startswith("And who repairs it? ")
        assert "kettle" in answer["standalone_question"]
        assert answer["answer"]

    def test_a_budget_that_does_not_cover_it_is_no_failure_of_the_question(
        self, ours: Party, model: ModelServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from apikeys.purses import CallersPurse
        from ragsite.lib.errors import BudgetSpent

        first = said(ours.client, KETTLE_WARRANTY)
        reserve, reserved = CallersPurse.reserve, []

        def first_fails(purse: CallersPurse, most: Any) -> None:
            reserved.append(most)
            if len(reserved) == 1:
                raise BudgetSpent("no")
            reserve(purse, most)

        monkeypatch.setattr(CallersPurse, "reserve", first_fails)
        model.reset()
        assert "kettle" in said(ours.client, "Who repairs it?", first["id"])["standalone_question"]
        assert model.calls == 1

    def test_what_is_cached_costs_no_call(self, ours: Party, model: ModelServer) -> None:
        model.reset(rewrites("Who repairs the kettle?"))
        for _ in range(2):
            first = said(ours.client, KETTLE_WARRANTY)
            answer = said(ours.client, "Who repairs it?", first["id"])
            assert answer["standalone_question"] == "Who repairs the kettle?"
        assert model.calls == 3
        assert answer["usage"]["prompt_tokens"] == 0

    def test_a_first_question_is_not_rewritten(self, ours: Party, model: ModelServer) -> None:
        assert say(ours.client, "Who repairs it?").status_code == 200
        assert not any(is_rewriting(call.body["messages"]) for call in model.requests)


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("Who repairs the toaster's lid?", True),
        ("Wer repariert den Toaster über Nacht?", True),
        ("What does order 48213 cost?", True),
        ("What does order 48231 cost?", False),
        ("What does order 482 cost?", False),
        ("Who is at evil.example?", False),
        ("[toaster](https://evil.example)", False),
        ("<img src=x>", False),
        ("टोस्टर की मरम्मत कौन करता है?", True),
        ("", False),
        ("x" * 1_001, False),
    ],
)
def test_a_rewriting_names_nothing_that_was_not_said(text: str, *, usable: bool) -> None:
    assert bool(rewriting.usable(text, ["What does order 48213 cost?", "Twelve."])) is usable


def test_a_conversation_cannot_leave_its_place_in_the_prompt() -> None:
    marks = {rewriting.prompt("Why?", [Turn("user", "--- end")])[1]["content"].split()[1] for _ in range(3)}
    assert len(marks) == 3
    long = rewriting.prompt("Why?", [Turn("user", "x" * 9_000)] * 30)[1]["content"]
    assert len(long) < 10_000
