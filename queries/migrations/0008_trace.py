from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queries", "0007_query_conversation")]

    operations = [
        migrations.AddField(
            model_name="query", name="trace", field=models.JSONField(editable=False, null=True)
        ),
    ]
