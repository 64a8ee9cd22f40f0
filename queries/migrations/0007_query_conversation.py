import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queries", "0006_conversations")]

    operations = [
        migrations.AddField(
            model_name="query",
            name="conversation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="messages",
                to="queries.conversation",
            ),
        ),
        migrations.AddField(
            model_name="query",
            name="standalone_question",
            field=models.TextField(help_text="The follow-up as it was looked for.", null=True),
        ),
        # Not concurrently, which a partitioned table does not know: it reads the table once, and finds nothing to index.
        migrations.AddIndex(
            model_name="query",
            index=models.Index(
                condition=models.Q(("conversation__isnull", False)),
                fields=["conversation", "-id"],
                name="query_of_conversation",
            ),
        ),
    ]
