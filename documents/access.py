"""What a caller may see of its tenant's corpus: a key can be held to some of the collections.

What it may not see counts as missing: it is answered with 404.
"""

from accounts.models import Tenant
from accounts.tenancy import TenantQuerySet
from apikeys.callers import Caller
from documents import intake
from documents.models import Collection, Document
from ragsite.lib.errors import NotFound


def readable(caller: Caller) -> TenantQuerySet[Document]:
    """The documents that the caller may see."""
    documents = Document.objects.for_tenant(caller.tenant_id).select_related("collection")
    return documents if caller.collections is None else documents.filter(collection__in=caller.collections)


def collection(caller: Caller, name: str) -> Collection:
    """The collection by its name or id; NotFound otherwise."""
    found = intake.existing_collection(caller.tenant_id, name)
    if not caller.may_read(found.pk):
        raise NotFound("There is no such collection.")
    return found


def collection_to_fill(caller: Caller, tenant: Tenant, name: str) -> Collection:
    """As `collection`; a caller who may read every collection may also name a new one, which is made."""
    return intake.collection_named(tenant, name) if caller.collections is None else collection(caller, name)
