import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from ragsite.lib.row_security import foreign_key


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_keys_of_tenants"),
        ("apikeys", "0001_initial"),
        ("documents", "0002_keys_of_tenants"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="apikey",
            name="apikey_list",
        ),
        migrations.AlterField(
            model_name="apikey",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="keys",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="apikey",
            name="rotated_from",
            field=models.OneToOneField(
                blank=True,
                db_constraint=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="rotated_to",
                to="apikeys.apikey",
            ),
        ),
        migrations.AlterField(
            model_name="keycollection",
            name="collection",
            field=models.ForeignKey(
                db_constraint=False, on_delete=django.db.models.deletion.CASCADE, to="documents.collection"
            ),
        ),
        migrations.AlterField(
            model_name="keycollection",
            name="key",
            field=models.ForeignKey(
                db_constraint=False, on_delete=django.db.models.deletion.CASCADE, to="apikeys.apikey"
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="apikey_of_tenant"),
        ),
        migrations.RunSQL(*foreign_key("apikeys_apikey", "owner_id", "accounts_user")),
        migrations.RunSQL(*foreign_key("apikeys_apikey", "rotated_from_id", "apikeys_apikey")),
        migrations.RunSQL(*foreign_key("apikeys_keycollection", "key_id", "apikeys_apikey")),
        migrations.RunSQL(*foreign_key("apikeys_keycollection", "collection_id", "documents_collection")),
    ]
