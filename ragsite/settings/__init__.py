"""Every setting of ragsite. docs/configuration.md lists the environment variables that feed them.

With no DATABASE_URL the site runs in its embedded mode: Postgres and Redis from Python wheels and secrets
made at random, all under DATA_DIR. With one, nothing secret has a default.
"""

from ragsite.settings.answers import *
from ragsite.settings.application import *
from ragsite.settings.limits import *
from ragsite.settings.places import *
from ragsite.settings.security import *
