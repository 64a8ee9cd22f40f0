"""A budget is no less than nothing, and says what it is for."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_retention_help_text")]

    operations = [
        migrations.AlterField(
            model_name="tenant",
            name="monthly_budget_usd",
            field=models.DecimalField(
                blank=True,
                decimal_places=4,
                help_text="What its keys' and people's answers may cost in a calendar month (UTC). Empty: no limit.",
                max_digits=12,
                null=True,
                validators=[django.core.validators.MinValueValidator(0)],
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(("monthly_budget_usd__gte", 0)), name="tenant_budget_is_not_negative"
            ),
        ),
    ]
