"""Who may call what: one class for each word in the contract's table. All of them name the caller first."""

from typing import ClassVar

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apikeys import budgets, callers
from apikeys.callers import Caller
from apikeys.models import APIKey
from ragsite.lib.errors import AppError, BudgetSpent, Forbidden
from ragsite.lib.problems import Refused


class Nobody(BasePermission):
    """The default: a view that does not say who may call it lets nobody."""

    def has_permission(self, request: Request, view: object) -> bool:
        return False


class CallerPermission(BasePermission):
    refusal: ClassVar[str]

    def has_permission(self, request: Request, view: object) -> bool:
        try:
            self._check(callers.of(request))
        except AppError as error:
            raise Refused(error) from error
        return True

    def _check(self, caller: Caller) -> None:
        if not self.allows(caller):
            raise Forbidden(self.refusal, code="scope" if caller.key_id else "role")

    def allows(self, caller: Caller) -> bool:
        raise NotImplementedError


class CanQuery(CallerPermission):
    refusal = "This key lacks the scope “query”."

    def allows(self, caller: Caller) -> bool:
        return caller.key_id is None or APIKey.Scope.QUERY in caller.scopes


class HasBudget(BasePermission):
    """Marks a view whose answers may cost money, and refuses those whose budget is spent.

    People are refused here; keys earlier, by admission, which looks for this class among the view's permissions.
    """

    def has_permission(self, request: Request, view: object) -> bool:
        caller = callers.of(request)
        if caller.key_id is None and request.method == "POST":
            try:
                budgets.check(caller)
            except BudgetSpent as error:
                raise Refused(error) from error
        return True


class CanIngest(CallerPermission):
    refusal = "This takes a business user, or a key with the scope “ingest”."

    def allows(self, caller: Caller) -> bool:
        return caller.is_business if caller.key_id is None else APIKey.Scope.INGEST in caller.scopes


class IsBusiness(CallerPermission):
    refusal = "This takes a business user. A key cannot do it, whatever its scopes."

    def allows(self, caller: Caller) -> bool:
        return caller.key_id is None and caller.is_business


class IsKey(CallerPermission):
    refusal = "This tells a key about itself, and no key was given."

    def allows(self, caller: Caller) -> bool:
        return caller.key_id is not None
