"""What a model is told fits into its window, and what earlier answers cited is no source of this one."""

import re
from collections.abc import Sequence

from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from queries.generating import prompts
from queries.generating.prompts import Message
from ragsite.lib import tokens
from tests.queries.checking.test_defusing import make_sources

QUESTION = "How long?"
WINDOW, ANSWER = 2_000, 500

small = override_settings(ANSWER_WINDOW_TOKENS=WINDOW, ANSWER_MAX_TOKENS=ANSWER)


def size(messages: Sequence[Message]) -> int:
    return sum(tokens.about(message["content"]) + tokens.AROUND_MESSAGE for message in messages)


def unmarked(messages: Sequence[Message]) -> list[str]:
    return [re.sub(r"\b[0-9a-f]{16}\b", "MARK", message["content"]) for message in messages]


TEXTS = st.lists(st.sampled_from(["word " * 5, "word " * 200, "秘" * 700, "é" * 90]), min_size=1, max_size=9)
TURNS = st.lists(
    st.tuples(st.sampled_from(["user", "assistant"]), st.sampled_from(["Hi", "so " * 300])), max_size=9
)


@settings(max_examples=200, deadline=None)
@given(TEXTS, TURNS)
@small
def test_prompt_and_answer_fit_into_the_window(texts: list[str], turns: list[tuple[str, str]]) -> None:
    sources = make_sources(*texts)
    told = prompts.fitting(QUESTION, sources, turns=turns)
    messages = prompts.messages(QUESTION, sources, turns=turns)
    assert size(messages) + ANSWER <= WINDOW
    # What the answer may cite is what the model was told.
    assert unmarked(messages) == unmarked(prompts.messages(QUESTION, told, turns=turns))
    assert [source.text for source in told[:-1]] == texts[: len(told) - 1]
    assert texts[len(told) - 1].startswith(told[-1].text)


@small
def test_sources_are_left_out_from_the_end_and_the_last_is_cut() -> None:
    texts = ["one " * 300, "two " * 900, "three " * 10]
    first, second = prompts.fitting(QUESTION, make_sources(*texts))
    assert first.text == texts[0]
    assert texts[1].startswith(second.text)
    assert second.text.endswith("two")
    assert second.end == second.start + len(second.text)


@small
def test_one_source_is_told_however_small_the_window_is() -> None:
    [only] = prompts.fitting("Why? " * 800, make_sources("word " * 100, "word"))
    assert len(only.text) <= prompts.LEAST_CHARACTERS


@small
def test_the_oldest_turns_are_left_out_first_and_sources_keep_the_larger_part() -> None:
    turns = [("user", f"{n} {'so ' * 150}") for n in range(9)]
    messages = prompts.messages(QUESTION, make_sources("word " * 600), turns=turns)
    told = [message["content"].split()[0] for message in messages[1:-1]]
    assert told == [str(n) for n in range(9)][-len(told) :]
    assert 0 < len(told) < 9
    assert tokens.about(messages[-1]["content"]) > size(messages[1:-1])


def test_turns_keep_their_roles_and_begin_with_a_question() -> None:
    turns = [("assistant", "Hello."), ("user", "And tea?"), ("assistant", "At four [2]. See [1].")]
    messages = prompts.messages(QUESTION, make_sources("word"), turns=turns, tenant_prompt="In French.")
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"].endswith("In French.")
    assert messages[2]["content"] == "At four. See."  # its sources had other numbers
    assert messages[3]["content"].endswith(f"Question: {QUESTION}")
