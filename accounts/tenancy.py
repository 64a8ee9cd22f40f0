"""Every query on rows that a tenant owns starts from that tenant.

The wall behind this one, for the query that forgets to, is `ragsite.lib.row_security`.
"""

from typing import TYPE_CHECKING, Self, TypeVar
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models

from ragsite.lib.errors import NotFound

if TYPE_CHECKING:
    from accounts.models import Tenant

Row = TypeVar("Row", bound=models.Model)


class TenantQuerySet(models.QuerySet[Row]):
    def for_tenant(self, tenant: "Tenant | UUID") -> Self:
        return self.filter(tenant=tenant)

    def across_tenants(self) -> Self:
        """Says in words that a query crosses tenants: operators' pages, tasks and migrations do."""
        return self.all()

    def one(self, identifier: UUID | str) -> Row:
        """The row by its id. Unknown, malformed and another tenant's are one answer: NotFound."""
        try:
            return self.get(pk=identifier)
        except (ObjectDoesNotExist, ValidationError, ValueError) as error:
            name = self.model._meta.verbose_name  # noqa: SLF001  Django's documented name for it
            raise NotFound(f"There is no such {name}.") from error


class TenantOwned(models.Model):
    """A row that belongs to one tenant, and goes when the tenant goes.

    Where it points at another such row, the foreign key has `db_constraint=False` and a migration adds one over tenant
    and id (`row_security.foreign_key`), which Django cannot say: by the id alone it could point at another tenant's.
    """

    # No index of its own: every table has one that begins with the tenant and serves a query besides.
    tenant = models.ForeignKey("accounts.Tenant", on_delete=models.CASCADE, db_index=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True

    def get_additional_data(self) -> dict[str, str]:
        """Goes into the entries of the audit log, so that they can leave with their tenant."""
        return {"tenant": str(self.tenant_id)}
