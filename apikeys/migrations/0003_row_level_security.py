from typing import Any

from django.db import migrations

from ragsite.lib.postgres import partitions
from ragsite.lib.row_security import wall


def wall_parts(_: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        partitions.wall_parts(cursor, "apikeys_usage")


class Migration(migrations.Migration):
    dependencies = [("apikeys", "0002_keys_of_tenants")]

    operations = [
        migrations.RunSQL(*wall("apikeys_apikey")),
        migrations.RunSQL(*wall("apikeys_keycollection")),
        migrations.RunSQL(*wall("apikeys_usage")),
        migrations.RunPython(wall_parts, migrations.RunPython.noop),
    ]
