"""A key knows the first of the keys that were rotated into it, with which it shares a budget."""

from django.db import migrations, models

FILL = """
WITH RECURSIVE descent AS (
    SELECT id, id AS first FROM apikeys_apikey WHERE rotated_from_id IS NULL
    UNION ALL
    SELECT successor.id, descent.first
    FROM apikeys_apikey AS successor JOIN descent ON successor.rotated_from_id = descent.id
)
UPDATE apikeys_apikey AS key SET line = descent.first
FROM descent WHERE descent.id = key.id AND key.rotated_from_id IS NOT NULL
"""


class Migration(migrations.Migration):
    dependencies = [("apikeys", "0005_tally")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="line",
            field=models.UUIDField(
                editable=False,
                help_text="The first of the keys that were rotated into this one, which share a budget. Empty: itself.",
                null=True,
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
