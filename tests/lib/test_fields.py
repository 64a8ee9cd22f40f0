from typing import Any

import pytest
from rest_framework import serializers

from ragsite.lib.fields import StrictBoolean, StrictInteger, StrictSerializer, StrictText, StrictUUID


class Body(StrictSerializer):
    text = StrictText(max_length=5, required=False)
    number = StrictInteger(min_value=0, required=False)
    flag = StrictBoolean(required=False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (StrictInteger(), 5),
        (StrictInteger(), -5),
        (StrictText(), "5"),
        (StrictText(), "ü🔑"),
        (StrictBoolean(), False),
    ],
)
def test_values_of_the_type_pass(field: Any, value: object) -> None:
    assert field.run_validation(value) == value


WRONG: dict[type[serializers.Field[Any, Any, Any, Any]], list[Any]] = {
    StrictInteger: ["5", 5.0, True, None, [5], ""],
    StrictText: [5, True, None, ["x"], {}, "", "a\0b", "\ud800"],
    StrictBoolean: ["true", 1, 0, "yes", None, []],
    StrictUUID: [5, True, None, "x", [], "a\0b"],
}


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, values in WRONG.items() for value in values]
)
def test_values_of_other_types_do_not(kind: Any, value: object) -> None:
    with pytest.raises(serializers.ValidationError):
        kind().run_validation(value)


def test_unknown_fields_are_refused_by_name() -> None:
    body = Body(data={"text": "x", "txt": "y", "nmber": 5})
    assert not body.is_valid()
    assert set(body.errors) == {"txt", "nmber"}
    assert {error.code for errors in body.errors.values() for error in errors} == {"unknown"}


def test_no_field_is_fine() -> None:
    assert Body(data={}).is_valid()
