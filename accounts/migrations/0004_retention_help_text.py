from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_row_level_security"),
    ]

    operations = [
        migrations.AlterField(
            model_name="tenant",
            name="retention_days",
            field=models.PositiveIntegerField(
                default=365, help_text="How long history and usage records are kept."
            ),
        ),
    ]
