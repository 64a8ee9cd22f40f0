from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    """Both columns have a default in Postgres: until they are restarted, processes of the older version add rows."""

    dependencies = [("documents", "0007_replacing")]

    operations = [
        migrations.AddField(
            "document",
            "unread_pages",
            ArrayField(
                models.PositiveIntegerField(),
                blank=True,
                db_default=models.Value([], ArrayField(models.PositiveIntegerField())),
                default=list,
                help_text="Pages that show text which nobody could read: scanned ones, without text recognition.",
            ),
        ),
        migrations.AddField(
            "document",
            "ocr_pages",
            models.PositiveIntegerField(
                db_default=0, default=0, help_text="How many pages were read by text recognition."
            ),
        ),
    ]
