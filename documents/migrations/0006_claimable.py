from django.db import migrations, models
from django.db.models.functions import Now

from ragsite.lib.postgres.index_operations import AddIndex, RemoveIndex


class Migration(migrations.Migration):
    """The index that workers claim by, in the place of the one that the sweeper had."""

    atomic = False
    dependencies = [("documents", "0005_lanes")]

    operations = [
        AddIndex(
            "document",
            models.Index(
                name="document_claimable",
                fields=["queue", "tenant", "id"],
                condition=models.Q(status__in=["queued", "processing"]),
            ),
        ),
        RemoveIndex("document", "document_unfinished"),
        # The column keeps its name, under which the older version knows it.
        migrations.AlterField(
            "document",
            "hinted_at",
            models.DateTimeField(db_column="hinted_at", db_default=Now(), editable=False),
        ),
        migrations.RenameField("document", "hinted_at", "not_before"),
    ]
