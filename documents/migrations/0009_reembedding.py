from django.db import migrations, models
from django.db.models import Q

STATES = [("building", "Building"), ("active", "Active"), ("retired", "Retired"), ("dropped", "Dropped")]


def add(name: str, field: models.Field) -> migrations.AddField:
    return migrations.AddField("embeddingspace", name, field)


class Migration(migrations.Migration):
    dependencies = [("documents", "0008_unread_pages")]

    operations = [
        migrations.AlterField(
            "embeddingspace", "state", models.CharField(choices=STATES, default="building", max_length=10)
        ),
        add("base_url", models.CharField(blank=True, help_text="Empty: EMBEDDING_BASE_URL.", max_length=300)),
        add(
            "switches",
            models.BooleanField(default=True, help_text="It is to serve as soon as it is complete."),
        ),
        add("is_complete", models.BooleanField(default=False)),
        add("done", models.PositiveBigIntegerField(default=0)),
        add("total", models.PositiveBigIntegerField(default=0)),
        add("cursor_tenant", models.UUIDField(editable=False, null=True)),
        add("cursor_chunk", models.UUIDField(editable=False, null=True)),
        add("problem", models.TextField(blank=True, help_text="Why its building pauses.")),
        add("claim", models.UUIDField(editable=False, null=True)),
        add("leased_until", models.DateTimeField(editable=False, null=True)),
        add("retired_at", models.DateTimeField(editable=False, null=True)),
        add("drops_at", models.DateTimeField(editable=False, null=True)),
        migrations.AddConstraint(
            "embeddingspace",
            models.UniqueConstraint(
                name="space_one_is_built", fields=["state"], condition=Q(state="building")
            ),
        ),
        migrations.AddConstraint(
            "embeddingspace",
            models.CheckConstraint(
                name="space_retired_ends",
                condition=~Q(state="retired") | Q(retired_at__isnull=False, drops_at__isnull=False),
            ),
        ),
    ]
