import django.db.models.deletion
from django.db import migrations, models

import ragsite.lib.identifiers
from ragsite.lib.row_security import wall


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_row_level_security"),
        ("apikeys", "0003_row_level_security"),
    ]

    operations = [
        migrations.CreateModel(
            name="IdempotentRequest",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=ragsite.lib.identifiers.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("client", models.UUIDField()),
                ("endpoint", models.CharField(max_length=100)),
                ("key_digest", models.CharField(max_length=64)),
                ("body_digest", models.CharField(max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "Running"), ("answered", "Answered")],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("claim", models.UUIDField(help_text="The request that runs it.")),
                ("leased_until", models.DateTimeField()),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("content_type", models.CharField(blank=True, max_length=100)),
                ("headers", models.JSONField(default=dict)),
                ("body", models.BinaryField(null=True)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, to="accounts.tenant"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["expires_at"], name="idempotentrequest_expiry")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "client", "endpoint", "key_digest"), name="idempotentrequest_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("body", None), ("state", "running"), ("status", None)),
                            models.Q(
                                ("body__isnull", False), ("state", "answered"), ("status__isnull", False)
                            ),
                            _connector="OR",
                        ),
                        name="idempotentrequest_answered_has_an_answer",
                    ),
                ],
            },
        ),
        migrations.RunSQL(*wall("apikeys_idempotentrequest")),
    ]
