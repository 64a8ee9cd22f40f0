"""What can go wrong for reasons a caller should hear of.

Domain code raises these; `ragsite.lib.problems` alone knows which HTTP status each class becomes.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple


class FieldError(NamedTuple):
    """One field that is wrong: its dotted path, a code for programs, a sentence for people."""

    field: str
    code: str
    detail: str


class AppError(Exception):
    """`code` is for programs and stable, `detail` is for people; `headers` go out with the answer."""

    code: ClassVar[str] = "error"

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        fields: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.error_code = code or self.code
        self.fields = tuple(fields)
        self.headers = dict(headers or {})


class Invalid(AppError):
    code = "invalid"


class Unauthenticated(AppError):
    code = "unauthenticated"


class BudgetSpent(AppError):
    code = "budget_spent"


class Forbidden(AppError):
    code = "forbidden"


class NotFound(AppError):
    """Unknown, or another tenant's: the two are one answer."""

    code = "not_found"


class Conflict(AppError):
    code = "conflict"


class TooLarge(AppError):
    code = "too_large"


class UnsupportedType(AppError):
    code = "unsupported_type"


class RateLimited(AppError):
    code = "rate_limited"


class ModelFailed(AppError):
    code = "model_failed"


class ModelRefused(ModelFailed):
    """No use to ask again until somebody mends the settings: a wrong key, an unknown model, vectors of another size."""

    code = "model_refused"


class Unavailable(AppError):
    code = "unavailable"


class ModelTimeout(AppError):
    code = "model_timeout"


class ClientLeft(AppError):
    """Whoever asked has closed the connection: nobody reads the answer, and its record says so."""

    code = "client_left"
