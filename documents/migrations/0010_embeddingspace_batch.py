from django.db import migrations, models


class Migration(migrations.Migration):
    """With a default in Postgres: until they are restarted, processes of the older version add rows."""

    dependencies = [("documents", "0009_reembedding")]

    operations = [
        migrations.AddField(
            "embeddingspace",
            "batch",
            models.PositiveSmallIntegerField(
                db_default=64, default=64, help_text="How many chunks its model is given at once."
            ),
        ),
    ]
