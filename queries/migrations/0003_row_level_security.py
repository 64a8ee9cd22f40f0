from typing import Any

from django.db import migrations

from ragsite.lib.postgres import partitions
from ragsite.lib.row_security import wall


def wall_parts(_: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        partitions.wall_parts(cursor, "queries_query")


class Migration(migrations.Migration):
    dependencies = [("queries", "0002_keys_of_tenants")]

    operations = [
        migrations.RunSQL(*wall("queries_query")),
        migrations.RunSQL(*wall("queries_feedback")),
        migrations.RunPython(wall_parts, migrations.RunPython.noop),
    ]
