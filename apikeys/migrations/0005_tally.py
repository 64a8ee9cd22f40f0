import django.db.models.deletion
from django.db import migrations, models

from ragsite.lib.row_security import wall


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_row_level_security"),
        ("apikeys", "0004_idempotent_requests"),
    ]

    operations = [
        migrations.CreateModel(
            name="Tally",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("requests", models.PositiveIntegerField()),
                ("used_at", models.DateTimeField()),
                (
                    "key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="apikeys.apikey",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="accounts.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "tally",
                "indexes": [models.Index(fields=["key"], name="tally_of_key")],
            },
        ),
        migrations.RunSQL(*wall("apikeys_tally")),
    ]
