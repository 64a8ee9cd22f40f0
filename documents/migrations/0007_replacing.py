from django.db import migrations, models

from ragsite.lib.postgres.index_operations import AddIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("documents", "0006_claimable")]

    operations = [
        migrations.AddField(
            model_name="document",
            name="replaces_before",
            field=models.DateTimeField(
                editable=False,
                help_text="Once ready, it takes the place of what came under its name before this moment.",
                null=True,
            ),
        ),
        AddIndex("document", models.Index(fields=["collection", "filename"], name="document_versions")),
    ]
