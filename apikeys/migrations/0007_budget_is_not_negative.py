"""A budget is no less than nothing, and says what it is for."""

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
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("monthly_budget_usd__gte", 0)), name="apikey_budget_is_not_negative"
            ),
        ),
    ]
