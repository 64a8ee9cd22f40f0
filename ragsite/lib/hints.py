"""Tasks whose messages may be lost."""

from typing import Any

import structlog
from celery.contrib.django.task import DjangoTask
from kombu.exceptions import OperationalError
from redis import Redis

from ragsite.lib import redis_client

logger = structlog.get_logger(__name__)


class Hint(DjangoTask[Any, Any]):
    """A task whose message may be lost: the rows say what is to be done, and beat or the sweeper ask again."""

    lane = "default"

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        try:
            # Asked first, because the broker's own client waits for seconds where this one knows in a tenth of one.
            return super().apply_async(*args, **kwargs) if redis_client.guarded(self._is_wanted) else None
        except (OperationalError, *redis_client.DOWN) as error:
            logger.warning("the broker could not be told", task=self.name, error=str(error))
            return None

    def _is_wanted(self, client: Redis) -> bool:
        return bool(client.ping())
