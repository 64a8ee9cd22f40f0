from django.db import migrations, models


class Migration(migrations.Migration):
    """Every column has a default in Postgres: until they are restarted, processes of the older version add rows."""

    dependencies = [("documents", "0004_best_chunks")]

    operations = [
        migrations.AddField(
            "document",
            "queue",
            models.CharField(
                choices=[("default", "Default"), ("low", "Low")],
                db_default="default",
                default="default",
                max_length=10,
            ),
        ),
        migrations.AddField(
            "document",
            "timings",
            models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, editable=False),
        ),
        migrations.AddField("document", "refused_since", models.DateTimeField(editable=False, null=True)),
    ]
