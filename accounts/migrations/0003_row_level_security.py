from django.db import migrations

from ragsite.lib.row_security import wall


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_keys_of_tenants")]

    operations = [
        migrations.RunSQL(*wall("accounts_tenant", column="id")),
        migrations.RunSQL(*wall("accounts_user")),
    ]
