"""Monthly budgets of keys and tenants: what is spent, whether an answer still fits, and what it holds meanwhile.

An account is a tenant, or a line of keys: a key with those that it was rotated into, which share one sum. Postgres
holds the truth, the records of use of a calendar month in UTC. Redis counts along, in millionths of a dollar:

    spent:{account}:{month}   the sum of what was settled; made anew from the records every hour, or when it is gone
    held:{account}            what answers that are being made may cost at most, each with the time when it ends

Both change in scripts alone (`reserve.lua`, `settle.lua`), on Redis's own clock, so that every process agrees.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q, Sum
from django.utils import timezone
from redis import Redis

from apikeys import usage
from apikeys.callers import Caller
from apikeys.models import APIKey, Usage
from ragsite.lib import months, redis_client, row_security
from ragsite.lib.errors import BudgetSpent
from ragsite.lib.identifiers import floor, made_at
from ragsite.lib.money import dollars, micro

MONTH = (Path(__file__).parent / "month.lua").read_text(encoding="utf-8")
_RESERVE = redis_client.Script(MONTH + (Path(__file__).parent / "reserve.lua").read_text(encoding="utf-8"))

# What a process that died left out of a counter is missing for so long at most.
COUNTER_SECONDS = 3600
# What a process that died had reserved is held for so much longer than an answer may take.
GRACE_SECONDS = 30
_TRIES = 3

# Keeps a sum, unless a cost was settled since it began to be added up, or another was quicker.
# KEYS: the counter, the mark of costs that found none. ARGV: that mark as it was, the sum, seconds, '1' = whatever.
_KEEP = redis_client.Script("""
if ARGV[4] ~= '1' and (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3], 'NX')
return 1
""")


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant, or with `line` a line of keys, by the id of its first."""

    tenant_id: UUID
    line: UUID | None = None

    @property
    def id(self) -> UUID:
        return self.line or self.tenant_id

    @property
    def kind(self) -> str:
        return "key" if self.line else "tenant"

    def keys(self) -> set[UUID]:
        keys = APIKey.objects.for_tenant(self.tenant_id).filter(Q(pk=self.id) | Q(line=self.id))
        with row_security.within(self.tenant_id):  # admission counts before it knows who calls
            return set(keys.values_list("pk", flat=True))


@dataclass(frozen=True, slots=True)
class Budget:
    """What an account may spend in a month, in US dollars; None: it has no limit."""

    account: Account
    limit: Decimal | None


def of_caller(caller: Caller) -> list[Budget]:
    """The budgets that a caller's answers fall under, as they are now: the tenant's, and a key's own."""
    if caller.key_id is None:
        return [of_tenant(caller)]
    keys = APIKey.objects.for_tenant(caller.tenant_id).filter(pk=caller.key_id)
    return [of_tenant(caller), *(of_key(key) for key in keys)]


def of_tenant(caller: Caller) -> Budget:
    return Budget(Account(caller.tenant_id), caller.tenant().monthly_budget_usd)


def of_key(key: APIKey) -> Budget:
    return Budget(Account(key.tenant_id, key.first_of_line), key.monthly_budget_usd)


def check(caller: Caller) -> None:
    """Raises BudgetSpent when one of a caller's budgets is spent. For people: admission has looked at those of keys."""
    _fit(of_caller(caller), "", amount=0)


def reserve(caller: Caller, most: Decimal) -> tuple[tuple[UUID, ...], str]:
    """Holds `most` in all of the caller's budgets: their accounts, and the reservation's name to settle it by.

    Raises BudgetSpent where it does not fit into one of them; then it is held in none. Without Redis nothing is held,
    and the budgets may be overspent by the requests in flight.
    """
    budgets, amount, name = of_caller(caller), micro(most), secrets.token_hex(8)
    _fit(budgets, name, amount=amount)
    return tuple(budget.account.id for budget in budgets), f"{name}:{amount}"


def refusal(of: str, *, short: bool = False) -> BudgetSpent:
    """`of`: "key" or "tenant". `short`: something is left, and not enough."""
    whose = {"key": "this key's", "tenant": "the tenant's"}[of]
    anew = f"It begins anew at {renewal():%Y-%m-%dT%H:%M:%SZ}."
    if short:
        return BudgetSpent(f"What is left of {whose} monthly budget does not cover another answer. {anew}")
    return BudgetSpent(f"{whose.capitalize()} monthly budget is spent. {anew}")


def renewal() -> datetime:
    return months.begin(timezone.now(), ahead=1)


def statement(budget: Budget) -> dict[str, Any]:
    """This month's budget for people to read, from what has reached Postgres; in US dollars."""
    used = spent(budget.account, months.begin(timezone.now()))
    left = None if budget.limit is None else max(Decimal(0), budget.limit - used)
    return {
        "monthly_usd": budget.limit,
        "spent_usd": used,
        "remaining_usd": left,
        "renews_at": renewal(),
    }


def spent(account: Account, month: datetime, *, besides: Mapping[UUID, Decimal] | None = None) -> Decimal:
    """The cost of a month's records in Postgres, without those whose ids are in `besides`."""
    bounds = floor(month), floor(months.begin(month, ahead=1))
    rows = Usage.objects.for_tenant(account.tenant_id).filter(pk__gte=bounds[0], pk__lt=bounds[1]).order_by()
    if account.line:
        rows = rows.filter(key__in=account.keys())
    if besides:
        rows = rows.exclude(pk__in=list(besides))
    with row_security.within(account.tenant_id):
        total: Decimal | None = rows.aggregate(total=Sum("cost_usd"))["total"]
    return total or Decimal(0)


# With Redis ---------------------------------------------------------------------------------------------------


def _fit(budgets: Sequence[Budget], name: str, *, amount: int) -> None:
    """Holds `amount`, in millionths, in all of the budgets under `name`; raises BudgetSpent where it does not fit."""
    if not amount and all(budget.limit is None for budget in budgets):
        return
    reply = redis_client.attempted(lambda client: _asked(client, budgets, name, amount=amount))
    if reply is None:
        fit_without_redis(budgets, amount=amount)
    elif reply[0] != b"held":
        raise refusal(budgets[reply[1] - 1].account.kind, short=reply[0] == b"short")


def _asked(client: Redis, budgets: Sequence[Budget], name: str, *, amount: int) -> Any:
    """The script's reply; None where counters are gone again and again."""
    milliseconds = (settings.ANSWER_TIMEOUT_SECONDS + GRACE_SECONDS) * 1000
    pairs = [(budget.account.id, budget.limit) for budget in budgets]
    listed = [part for id_, limit in pairs for part in (str(id_), "" if limit is None else micro(limit))]
    for _ in range(_TRIES):
        reply: Any = _RESERVE(client, keys=[], arguments=[name, amount, milliseconds, *listed])
        if reply[0] != b"uncounted":
            return reply
        for number in reply[2:]:
            recount(client, budgets[number - 1].account, reply[1].decode())
    return None


def recount(client: Redis, account: Account, month: str) -> None:
    """Makes an account's counter of a month anew, of its records in Postgres and those on their way there."""
    counter = f"{account.id}:{month}"
    names = [f"spent:{counter}", f"missed:{counter}"]
    for left in reversed(range(_TRIES)):
        mark = client.get(names[1]) or b""
        # The stream first: a record that moves on meanwhile is found in both, and counted once.
        unwritten = _unwritten(client, account, month)
        total = sum(unwritten.values()) + spent(account, months.of(month), besides=unwritten)
        arguments = [mark, micro(Decimal(total)), COUNTER_SECONDS, int(left == 0)]
        kept = _KEEP(client, keys=names, arguments=arguments)
        if kept:
            return


def _unwritten(client: Redis, account: Account, month: str) -> dict[UUID, Decimal]:
    """What records on the stream have cost, by their ids."""
    keys = account.keys() if account.line else None
    costs: dict[UUID, Decimal] = {}
    for _, fields in usage.on_stream(client):
        entry = _costly(fields, account)
        if entry and (keys is None or entry.key_id in keys) and months.name(made_at(entry.id)) == month:
            costs[entry.id] = entry.spent.within_bounds().cost_usd
    return costs


def _costly(fields: Mapping[bytes, bytes], account: Account) -> usage.Entry | None:
    """A record of the account's tenant that cost something. Most cost nothing, and are not even read."""
    if fields.get(b"tenant") != str(account.tenant_id).encode() or fields.get(b"cost_usd", b"0") == b"0":
        return None
    try:
        return usage.from_stream({name.decode(): value.decode() for name, value in fields.items()})
    except (KeyError, ValueError, ArithmeticError):
        return None  # whoever writes it down says so


# Without Redis ------------------------------------------------------------------------------------------------


def is_spent(account: Account, limit: int) -> bool:
    """By the records in Postgres alone; `limit` in millionths."""
    return micro(spent(account, months.begin(timezone.now()))) >= limit


def fit_without_redis(budgets: Sequence[Budget], *, amount: int = 0) -> None:
    """Raises BudgetSpent by the records in Postgres alone, which know nothing of the requests in flight."""
    for budget in budgets:
        if budget.limit is None:
            continue
        used = spent(budget.account, months.begin(timezone.now()))
        if used >= budget.limit:
            raise refusal(budget.account.kind)
        if used + dollars(amount) > budget.limit:
            raise refusal(budget.account.kind, short=True)
