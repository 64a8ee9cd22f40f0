"""A question answered with other settings than its tenant's, to try them out before they are switched on."""

from copy import copy
from dataclasses import dataclass
from typing import Final

from accounts.models import Tenant
from documents.embedding_space import EmbeddingSpace


@dataclass(frozen=True, slots=True)
class Trial:
    """The settings to try. None, or "" for the model, means: as the tenant and the site are set."""

    prompt: str | None = None
    top_k: int | None = None
    distance_threshold: float | None = None
    model: str = ""
    space: EmbeddingSpace | None = None

    def applied(self, tenant: Tenant) -> Tenant:
        """A copy of the tenant with these settings, which is not to be saved."""
        if self == AS_SET:
            return tenant
        tried = copy(tenant)
        for name in ("prompt", "top_k", "distance_threshold"):
            value = getattr(self, name)
            if value is not None:
                setattr(tried, name, value)
        return tried


AS_SET: Final = Trial()
