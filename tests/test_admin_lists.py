"""Every list of the admin, with filters and searches that nobody's browser sends."""

import pytest
from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import reverse

from tests.makers import make_user
from tests.strangers import session

pytestmark = pytest.mark.django_db(transaction=True)
LISTS = sorted(admin.site._registry, key=lambda model: model._meta.label)
OF_THE_PAGE = [f"{name}=%00" for name in ("q", "p", "o", "all", "_facets", "e", "_popup")]
OF_A_FIELD = ["exact=%00", "exact=zz", f"exact={'9' * 40}", "icontains=%00", "in=%00,zz", "regex=%28"]


@pytest.fixture
def operator(db: None) -> Client:
    client = session(make_user("operator", is_staff=True, is_superuser=True))
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label)
def test_what_cannot_be_looked_for_is_no_error_of_ours(operator: Client, model: type[models.Model]) -> None:
    page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    of_fields = [f"{field.name}__{lookup}" for field in model._meta.fields for lookup in OF_A_FIELD]
    asked = [f"{page}?{query}" for query in [*OF_THE_PAGE, *of_fields]]
    assert [path for path in asked if operator.get(path).status_code >= 500] == []
    assert operator.post(f"{page}?pk__regex=%00").status_code < 500


def test_nor_is_what_cannot_be_completed(operator: Client) -> None:
    tenants = "app_label=apikeys&model_name=apikey&field_name=tenant"
    assert operator.get(f"{reverse('admin:autocomplete')}?{tenants}&term=%00").status_code == 200
    assert operator.get(f"{reverse('admin:search')}?s=%00").status_code < 500
