import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import ragsite.lib.identifiers


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_budget_is_not_negative"),
        ("documents", "0010_embeddingspace_batch"),
        ("queries", "0008_trace"),
    ]

    operations = [
        migrations.CreateModel(
            name="EvaluationSet",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=ragsite.lib.identifiers.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, to="accounts.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="EvaluationRun",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=ragsite.lib.identifiers.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=100)),
                (
                    "answers",
                    models.BooleanField(
                        default=True, help_text="Answers too, which may cost money; else retrieval alone."
                    ),
                ),
                ("prompt", models.TextField(blank=True, help_text="Empty: the tenant's.", null=True)),
                (
                    "top_k",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Empty: the tenant's.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(50),
                        ],
                    ),
                ),
                (
                    "distance_threshold",
                    models.FloatField(
                        blank=True,
                        help_text="Empty: the tenant's.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(2),
                        ],
                    ),
                ),
                ("model", models.CharField(blank=True, help_text="Empty: the site's.", max_length=200)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("cancelled", "Cancelled"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=10,
                    ),
                ),
                ("settings", models.JSONField(default=dict, editable=False)),
                ("summary", models.JSONField(default=dict, editable=False)),
                ("done", models.PositiveIntegerField(default=0, editable=False)),
                ("total", models.PositiveIntegerField(default=0, editable=False)),
                ("cost_usd", models.DecimalField(decimal_places=6, default=0, editable=False, max_digits=12)),
                ("error_code", models.CharField(blank=True, editable=False, max_length=40)),
                ("error_detail", models.TextField(blank=True, editable=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("started_at", models.DateTimeField(editable=False, null=True)),
                ("finished_at", models.DateTimeField(editable=False, null=True)),
                ("claim", models.UUIDField(editable=False, null=True)),
                ("leased_until", models.DateTimeField(editable=False, null=True)),
                (
                    "attempts",
                    models.PositiveSmallIntegerField(
                        default=0, editable=False, help_text="Without a result since."
                    ),
                ),
                ("stepped_at", models.DateTimeField(editable=False, null=True)),
                (
                    "space",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="Empty: the one that serves.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="documents.embeddingspace",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, to="accounts.tenant"
                    ),
                ),
                (
                    "set",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="runs",
                        to="queries.evaluationset",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="EvaluationQuestion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=ragsite.lib.identifiers.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("ordinal", models.PositiveIntegerField()),
                ("question", models.TextField()),
                ("expected", models.JSONField(default=list)),
                ("answer", models.TextField(blank=True, help_text="Words that the answer has to have.")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, to="accounts.tenant"
                    ),
                ),
                (
                    "set",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="questions",
                        to="queries.evaluationset",
                    ),
                ),
            ],
            options={
                "ordering": ["set", "ordinal"],
            },
        ),
        migrations.CreateModel(
            name="EvaluationResult",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=ragsite.lib.identifiers.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("retrieved", "Retrieved"),
                            ("answered", "Answered"),
                            ("not_found", "not in the documents"),
                            ("failed", "Failed"),
                        ],
                        max_length=10,
                    ),
                ),
                ("error_code", models.CharField(blank=True, max_length=40)),
                ("ranking", models.JSONField(default=list)),
                ("scores", models.JSONField(default=dict)),
                ("answer", models.TextField(blank=True)),
                ("citations", models.JSONField(default=list)),
                ("milliseconds", models.FloatField()),
                ("prompt_tokens", models.PositiveIntegerField(default=0)),
                ("completion_tokens", models.PositiveIntegerField(default=0)),
                ("cost_usd", models.DecimalField(decimal_places=6, default=0, max_digits=12)),
                (
                    "question",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="queries.evaluationquestion",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, to="accounts.tenant"
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="results",
                        to="queries.evaluationrun",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "id"), name="evaluationresult_of_tenant"),
                    models.UniqueConstraint(fields=("run", "question"), name="evaluationresult_once"),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="evaluationset",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="evaluationset_of_tenant"),
        ),
        migrations.AddConstraint(
            model_name="evaluationset",
            constraint=models.UniqueConstraint(
                fields=("tenant", "name"), name="evaluationset_name_once_a_tenant"
            ),
        ),
        migrations.AddIndex(
            model_name="evaluationrun",
            index=models.Index(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=["stepped_at"],
                name="evaluationrun_claimable",
            ),
        ),
        migrations.AddIndex(
            model_name="evaluationrun",
            index=models.Index(fields=["set", "-id"], name="evaluationrun_of_set"),
        ),
        migrations.AddConstraint(
            model_name="evaluationrun",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="evaluationrun_of_tenant"),
        ),
        migrations.AddConstraint(
            model_name="evaluationrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "failed"), _negated=True),
                    models.Q(("error_code", ""), _negated=True),
                    _connector="OR",
                ),
                name="evaluationrun_failed_says_why",
            ),
        ),
        migrations.AddConstraint(
            model_name="evaluationquestion",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="evaluationquestion_of_tenant"),
        ),
        migrations.AddConstraint(
            model_name="evaluationquestion",
            constraint=models.UniqueConstraint(fields=("set", "ordinal"), name="evaluationquestion_once"),
        ),
    ]
