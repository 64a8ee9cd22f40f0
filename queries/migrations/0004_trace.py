from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queries", "0003_row_level_security")]

    operations = [
        migrations.AddField(
            model_name="query", name="trace", field=models.JSONField(editable=False, null=True)
        ),
    ]
