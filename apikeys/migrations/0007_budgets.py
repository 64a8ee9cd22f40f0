"""A key's budget is enforced, and says what it is for."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("apikeys", "0006_key_line")]

    operations = [
        migrations.AlterField(
            model_name="apikey",
            name="monthly_budget_usd",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                help_text="What its answers may cost in a calendar month (UTC), together with those of the keys that it was rotated from. Empty: no limit.",
                max_digits=12,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
            ),
        ),
    ]
