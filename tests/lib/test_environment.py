from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from ragsite.lib import environment


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("THING", raising=False)
    monkeypatch.delenv("THING_FILE", raising=False)
    return monkeypatch


def test_absent_variables_have_their_defaults(given: pytest.MonkeyPatch) -> None:
    assert environment.text("THING", "x") == "x"
    assert environment.integer("THING", 7) == 7
    assert environment.boolean("THING", default=True) is True
    assert environment.words("THING") == []


@pytest.mark.parametrize("value", ["seven", "7.5", "0x7", "-1", ""])
def test_malformed_integer_is_refused_by_name(given: pytest.MonkeyPatch, value: str) -> None:
    given.setenv("THING", value)
    with pytest.raises(ImproperlyConfigured, match="THING"):
        environment.integer("THING", 1)


@pytest.mark.parametrize("value", ["nan", "-0.1", "much"])
def test_malformed_number_is_refused(given: pytest.MonkeyPatch, value: str) -> None:
    given.setenv("THING", value)
    with pytest.raises(ImproperlyConfigured, match="THING"):
        environment.number("THING", 1.0)


@pytest.mark.parametrize(("value", "expected"), [("TRUE", True), ("on", True), ("0", False), ("", False)])
def test_boolean_words(given: pytest.MonkeyPatch, value: str, expected: bool) -> None:  # noqa: FBT001  a parameter of the table
    given.setenv("THING", value)
    assert environment.boolean("THING", default=not expected) is expected


def test_other_words_are_no_boolean(given: pytest.MonkeyPatch) -> None:
    given.setenv("THING", "maybe")
    with pytest.raises(ImproperlyConfigured, match="THING"):
        environment.boolean("THING", default=False)


def test_secret_may_stand_in_a_file(given: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the file\n")
    given.setenv("THING", "of the variable")
    given.setenv("THING_FILE", str(tmp_path / "secret"))
    assert environment.secret("THING") == "of the file"
    given.setenv("THING_FILE", str(tmp_path / "absent"))
    with pytest.raises(ImproperlyConfigured, match="THING_FILE"):
        environment.secret("THING")


def test_choice_names_what_there_is(given: pytest.MonkeyPatch) -> None:
    given.setenv("THING", "green")
    with pytest.raises(ImproperlyConfigured, match="red, blue"):
        environment.choice("THING", "red", among=("red", "blue"))


def test_prices_are_read_and_malformed_ones_refused(given: pytest.MonkeyPatch) -> None:
    given.setenv("THING", "small=0.15/0.60, large = 2/8")
    assert environment.prices("THING") == {"small": (0.15, 0.60), "large": (2.0, 8.0)}
    for value in ("small", "small=1", "small=1/2/3", "small=a/b", "small=nan/1", "small=1/-2", "small=inf/1"):
        given.setenv("THING", value)
        with pytest.raises(ImproperlyConfigured, match="THING"):
            environment.prices("THING")
