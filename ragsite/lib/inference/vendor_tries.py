"""The tries that a call to a model took, and whoever keeps account of them."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ragsite.lib.inference import vendor_errors

ANSWERED = "answered"
CLIENT_LEFT = "client_left"


@dataclass
class Try:
    """One request to one model of one endpoint. What is known of it grows until it has ended.

    `outcome` is a code: `answered`, `client_left`, why it failed, or why nothing was sent. `billed`: the vendor may
    charge for it, also where it reports no tokens.
    """

    endpoint: str
    model: str
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    milliseconds: float = 0.0
    outcome: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    billed: bool = False
    answered_by: str = ""  # the model's name by its own account, which may carry a date
    began: float = field(default_factory=time.monotonic, repr=False)  # of the monotonic clock

    def end(self, error: BaseException | None) -> None:
        """`error` None: it was answered. GeneratorExit: its reader left."""
        self._stop()
        if error is None or isinstance(error, GeneratorExit):
            self.outcome, self.billed = (CLIENT_LEFT if error else ANSWERED), True
        else:
            self.outcome, self.billed = vendor_errors.outcome(error), vendor_errors.may_be_billed(error)

    def pass_over(self, outcome: str) -> None:
        """Nothing was sent, for a reason that has this code."""
        self._stop()
        self.outcome = outcome

    def _stop(self) -> None:
        self.milliseconds = round((time.monotonic() - self.began) * 1000, 1)


class Ledger:
    """Hears of every try, in the thread of the call. This one keeps nothing."""

    def begin(self, tried: Try) -> None:
        """Before each request; may raise BudgetSpent, and nothing is sent then."""

    def end(self, tried: Try) -> None:
        """After each request, and for each model that was passed over without one."""
