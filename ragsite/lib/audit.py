"""The audit log: what people change, by whom, when and from where, before and after. Kept by django-auditlog.

Its own middleware is not used: it asks who is signed in before DRF knows, which also costs each request a query; it
believes the first address in X-Forwarded-For, which a client writes; and it connects a signal for every request under
a name made of the time, which two threads may share. Here a request is only remembered, and asked when it writes.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

from auditlog import get_logentry_model
from auditlog.context import disable_auditlog
from auditlog.registry import auditlog
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.signals import pre_save
from django.http import HttpRequest, HttpResponse

from ragsite.lib.addresses import client_address
from ragsite.lib.middleware import request_id

HIDDEN = "(hidden)"
SYSTEM = "system"

_request: ContextVar[HttpRequest | None] = ContextVar("audited_request", default=None)


class RemembersRequest:
    """Lets an entry be signed by the request that it is written in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = _request.set(request)
        try:
            return self.get_response(request)
        finally:
            _request.reset(token)


def register(
    model: type[models.Model], *, machine_made: Iterable[str] = (), secret: Iterable[str] = ()
) -> None:
    """Logs every save and deletion of the model's rows.

    `machine_made` fields are left out: nobody decided on them. Of a `secret` field is told that it changed. Changes by
    QuerySet.update, bulk_create and plain SQL are not seen: people's changes are saved row by row, or told by `note`.
    """
    # By name: else the relations that lead back to the model would count as its fields.
    names = [field.name for field in model._meta.concrete_fields]  # noqa: SLF001  Django's documented name
    auditlog.register(
        model,
        include_fields=[name for name in names if name not in machine_made],
        mask_fields=list(secret),
        mask_callable=f"{__name__}.hidden",
    )


def hidden(_: str) -> str:
    """What stands for a secret; the library's own mask would show the second half."""
    return HIDDEN


def note(instance: models.Model, **changes: tuple[Any, Any]) -> None:
    """Logs a change that no save of the row shows: by name, what was and what is."""
    log = get_logentry_model()
    log.objects.log_create(
        instance, action=log.Action.UPDATE, changes={name: list(pair) for name, pair in changes.items()}
    )


def note_removal(model: type[models.Model], *, name: str) -> None:
    """Logs that a row was deleted with all that was its own; of that row no more than a name is kept."""
    log = get_logentry_model()
    kind = ContentType.objects.get_for_model(model)
    log.objects.create(content_type=kind, object_pk=name, object_repr=name, action=log.Action.DELETE)


def unlogged() -> AbstractContextManager[None]:
    """For changes that the machine makes of itself."""
    context: AbstractContextManager[None] = disable_auditlog()
    return context


def connect() -> None:
    """To be called once, when the applications are ready."""
    pre_save.connect(_sign, sender=get_logentry_model(), dispatch_uid="ragsite.audit")


def _sign(instance: Any, **_: Any) -> None:
    """Writes on an entry who made it and where. The name is kept as text too, and outlives the user's row."""
    request = _request.get()
    by = SYSTEM
    if request is not None:
        instance.cid = str(request_id(request))
        instance.remote_addr = client_address(request)
        # DRF puts whom it found on Django's request as well: a user, or the caller that a key stands for.
        user = getattr(request, "user", None)
        instance.actor_id = user.pk if isinstance(user, get_user_model()) else None
        by = str(user)
    instance.additional_data = {**(instance.additional_data or {}), "by": by}
