"""Who makes a request, whichever way they signed in."""

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest
from rest_framework.request import Request

from accounts.models import Tenant, User
from ragsite.lib import row_security
from ragsite.lib.errors import Forbidden, Unauthenticated

_CALLER = "ragsite.caller"  # in request.META, like the request's id


@dataclass(frozen=True, slots=True)
class Caller:
    """A client program's key, or a user of a tenant. `collections` None: every one of the tenant's."""

    tenant_id: UUID
    key_id: UUID | None = None
    user_id: UUID | None = None
    role: str = ""
    scopes: frozenset[str] = frozenset()
    collections: tuple[UUID, ...] | None = None
    rights: str = "all"  # names what the caller may read: part of the answer cache's key

    is_authenticated = True  # DRF asks it of request.user

    def __str__(self) -> str:
        """As the audit log names whoever acts."""
        return f"API key {self.key_id}" if self.key_id else f"user {self.user_id}"

    def user(self) -> User | None:
        """The person behind the request: a key's is its owner."""
        return User.objects.filter(tenant=self.tenant_id, pk=self.user_id).first() if self.user_id else None

    @property
    def person_id(self) -> UUID | None:
        """Who acts, in records: a person where no key does."""
        return None if self.key_id else self.user_id

    def tenant(self) -> Tenant:
        """Raises Unauthenticated where it was deleted and the copy of its key lives on for a moment."""
        tenant = Tenant.objects.filter(pk=self.tenant_id).first()
        if tenant is None:
            raise Unauthenticated("No valid credentials were given.")
        return tenant

    def may_read(self, collection_id: UUID) -> bool:
        """Of its tenant's collections."""
        return self.collections is None or collection_id in self.collections

    @property
    def is_business(self) -> bool:
        return self.role == User.Role.BUSINESS


def attach(request: HttpRequest | Request, caller: Caller) -> None:
    """From here on the request counts as `caller`'s in the record of use, and touches rows of its tenant alone."""
    request.META[_CALLER] = caller
    row_security.enter(caller.tenant_id)


def attached(request: HttpRequest | Request) -> Caller | None:
    caller: Caller | None = request.META.get(_CALLER)
    return caller


def of(request: Request) -> Caller:
    """The caller of an API request; raises Unauthenticated or, for operators, Forbidden."""
    caller = attached(request) or _of_user(request.user)
    attach(request, caller)
    return caller


def _of_user(user: object) -> Caller:
    if not isinstance(user, User) or not user.is_authenticated:
        raise Unauthenticated("No valid credentials were given.")
    if user.tenant is None:
        raise Forbidden(
            "Operators belong to no tenant; the API serves tenants. Use the admin.", code="no_tenant"
        )
    if not user.tenant.active:
        raise Unauthenticated("No valid credentials were given.")
    return Caller(tenant_id=user.tenant.pk, user_id=user.pk, role=user.role)
