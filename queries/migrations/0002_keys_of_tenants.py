from django.conf import settings
from django.db import migrations, models

from ragsite.lib.row_security import foreign_key


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_keys_of_tenants"),
        ("apikeys", "0002_keys_of_tenants"),
        ("queries", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="query",
            name="query_of_tenant",
        ),
        migrations.AddConstraint(
            model_name="query",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="query_of_tenant"),
        ),
        migrations.RunSQL(*foreign_key("queries_feedback", "query_id", "queries_query")),
    ]
