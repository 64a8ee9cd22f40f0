from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("documents", "0004_best_chunks")]

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
        # One row a document: made in a moment, in which uploads wait.
        migrations.AddIndex(
            model_name="document",
            index=models.Index(fields=["collection", "filename"], name="document_versions"),
        ),
    ]
