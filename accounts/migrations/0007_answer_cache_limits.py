"""How long a tenant's cached answers live, and how much room they have."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_quotes_without_model")]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="cache_seconds",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="How long an answer is kept in the cache, within what the site allows. Empty: as the site is"
                " set. 0: none is.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="cache_bytes",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="How much room its cached answers have, within what the site allows; the ones not used for"
                " longest make way. Empty: as the site is set. 0: none is kept.",
                null=True,
            ),
        ),
    ]
