"""What a first look needs: an operator, a tenant with two people and a key, and a small corpus.

Doing it twice is doing it once.
"""

from django.conf import settings

from accounts.models import Tenant, User
from apikeys import keys
from apikeys.models import APIKey
from documents import intake, tasks
from documents.models import Document
from ragsite import celery  # noqa: F401  the tasks are published through the application that it makes

ADMIN, BUSINESS, USER = "admin", "business", "user"
TENANT = "demo"
COLLECTION = "samples"


def make_accounts(passwords: dict[str, str]) -> Tenant:
    """Make the operator, the tenant and its two people where they are missing, with `passwords` by user name.

    A password that its owner has changed since is left alone.
    """
    tenant, _ = Tenant.objects.get_or_create(slug=TENANT, defaults={"name": "Demo"})
    if not User.objects.filter(username=ADMIN).exists():
        User.objects.create_superuser(ADMIN, password=passwords[ADMIN])
    for username, role in ((BUSINESS, User.Role.BUSINESS), (USER, User.Role.USER)):
        if not User.objects.filter(username=username).exists():
            User.objects.create_user(username, password=passwords[username], tenant=tenant, role=role)
    return tenant


def make_key(tenant: Tenant, *, known: str | None) -> str:
    """Return a raw key that works: `known` if it still does, or else a new one that takes its place."""
    if known:
        key = APIKey.objects.for_tenant(tenant).filter(key_hash=keys.digest(known)).first()
        if key and key.is_usable:
            return known
    owner = User.objects.get(username=BUSINESS)
    # Generous: whoever tries the site out uploads a folder at once.
    _, raw = keys.mint(
        tenant=tenant, owner=owner, name=TENANT, scopes=["query", "ingest"], rate_limit=6_000, burst=1_000
    )
    return raw


def queue_corpus(tenant: Tenant) -> None:
    """Hand ragsite's own documentation to the worker, as an upload would; a file of a known name is skipped."""
    collection = intake.collection_named(tenant, COLLECTION)
    present = set(
        Document.objects.for_tenant(tenant).filter(collection=collection).values_list("filename", flat=True)
    )
    docs = settings.BASE_DIR / "docs"
    for path in sorted([*docs.glob("*.md"), *docs.glob("sample/*")]):
        if path.is_file() and path.name not in present:
            with path.open("rb") as file:
                document, _ = intake.store(
                    tenant=tenant,
                    chunks=iter(lambda: file.read(1 << 16), b""),
                    filename=path.name,
                    collection=collection,
                )
            tasks.hint(document)


def corpus_progress(tenant: Tenant) -> tuple[int, int]:
    """Return how many of the samples the worker is done with, and how many there are."""
    documents = Document.objects.for_tenant(tenant).filter(collection__name=COLLECTION)
    under_way = documents.filter(status__in=[Document.Status.QUEUED, Document.Status.PROCESSING])
    total = documents.count()
    return total - under_way.count(), total
