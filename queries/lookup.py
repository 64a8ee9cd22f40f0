"""Where the answer to a request's question is looked for, and kept."""

from dataclasses import dataclass
from uuid import UUID

from rest_framework.request import Request

from accounts import corpus
from apikeys import usage
from apikeys.admission import Admission
from apikeys.authentication import admission_of
from apikeys.callers import Caller
from apikeys.usage import Spent
from queries import cache, history
from queries.answers import Answer, Ask
from queries.cache import Kept
from queries.history import Hit
from ragsite.lib.middleware import elapsed_ms, request_id


@dataclass(frozen=True, slots=True)
class Place:
    """A name in the answer cache; none while the corpus is changing or Redis is down."""

    caller: Caller | None = None
    name: str | None = None
    question: str = ""
    conversation: UUID | None = None
    admission: Admission | None = None

    def find(self, request: Request) -> Kept | None:
        if self.caller is None or self.name is None:
            return None
        if self.admission is not None:
            return self._found_on_admission(request)
        kept = cache.find(self.caller.tenant_id, self.name)
        if kept is not None:
            usage.spend(request, Spent(from_cache=True))
            history.save_hits([self._hit(request, self.caller, kept.query_id)])
        return kept

    def keep(self, made: Answer) -> None:
        # What stood in for a model's answer is not kept: the model may be back the next moment.
        if self.name is not None and not made.generated.fallback:
            cache.keep(self.name, query_id=made.query_id, shared=made.shared())

    def _found_on_admission(self, request: Request) -> Kept | None:
        """Admission has looked, and has recorded what it took for a hit. What is no answer was none; the request's own
        record corrects that one (`apikeys.usage.write`)."""
        found = self.admission
        if found is None or found.stored is None or self.name is None:
            return None
        kept = cache.unseal(self.name, found.stored)
        if kept is None:
            cache.count_miss_instead(found.caller.tenant_id)
        else:
            usage.mark_recorded(request)
        return kept

    def _hit(self, request: Request, caller: Caller, answer: UUID) -> Hit:
        return Hit(
            id=request_id(request),
            tenant_id=caller.tenant_id,
            key_id=caller.key_id,
            user_id=caller.person_id,
            question=self.question,
            answer=answer,
            milliseconds=elapsed_ms(request),
            conversation_id=self.conversation,
        )


NOWHERE = Place()


def place(request: Request, caller: Caller, ask: Ask) -> Place:
    """Where admission has looked, or where it would have: it knows no version when the tenant has been quiet."""
    admitted = admission_of(request)
    looked = admitted if admitted is not None and admitted.corpus_version is not None else None
    version = looked.corpus_version if looked else corpus.version(caller.tenant_id)
    if version is None:
        return NOWHERE
    name = cache.name(caller, version, cache.digest(ask))
    return Place(caller, name, ask.question, ask.conversation, looked)
