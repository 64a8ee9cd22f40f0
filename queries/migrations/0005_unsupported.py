from django.db import migrations, models


class Migration(migrations.Migration):
    """With a default in Postgres: until they are restarted, processes of the older version add rows."""

    dependencies = [("queries", "0004_attempts")]

    operations = [
        migrations.AddField(
            "query",
            "unsupported",
            models.JSONField(db_default=models.Value([], models.JSONField()), default=list),
        ),
    ]
