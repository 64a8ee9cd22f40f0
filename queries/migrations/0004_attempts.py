"""A query tells what asking models took for it. Rows from before know nothing of that, and have none."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queries", "0003_row_level_security")]

    operations = [
        migrations.AddField(
            model_name="query",
            name="attempts",
            field=models.JSONField(default=list, db_default=models.Value([], models.JSONField())),
        ),
    ]
