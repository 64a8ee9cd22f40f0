import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from ragsite.lib.row_security import foreign_key, wall


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_budget_is_not_negative"),
        ("apikeys", "0007_budget_is_not_negative"),
        ("queries", "0005_unsupported"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Conversation",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("title", models.CharField(max_length=100)),
                (
                    "latest",
                    models.UUIDField(
                        editable=False, help_text="Its latest question, which tells when it was."
                    ),
                ),
                (
                    "key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="apikeys.apikey",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, to="accounts.tenant"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-latest"],
                "indexes": [
                    models.Index(fields=["tenant", "-latest"], name="conversation_of_tenant"),
                    models.Index(fields=["key", "-latest"], name="conversation_of_key"),
                    models.Index(fields=["user", "-latest"], name="conversation_of_user"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("key", None), ("user", None), _connector="OR"),
                        name="conversation_of_one",
                    )
                ],
            },
        ),
        migrations.RunSQL(*wall("queries_conversation")),
        migrations.RunSQL(*foreign_key("queries_conversation", "key_id", "apikeys_apikey")),
        migrations.RunSQL(*foreign_key("queries_conversation", "user_id", "accounts_user")),
    ]
