"""A tenant may have quotations where no model answers."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_budget_is_not_negative")]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="quotes_without_model",
            field=models.BooleanField(
                default=False,
                db_default=False,
                help_text="When no model answers, quote from the documents instead of failing. Such an answer says so.",
            ),
        ),
    ]
