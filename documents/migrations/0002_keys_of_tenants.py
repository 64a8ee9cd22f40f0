import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from ragsite.lib.row_security import foreign_key


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_keys_of_tenants"),
        ("documents", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="chunk",
            name="chunk_of_tenant",
        ),
        migrations.RemoveIndex(
            model_name="document",
            name="document_list",
        ),
        migrations.AlterField(
            model_name="chunk",
            name="document",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="documents.document",
            ),
        ),
        migrations.AlterField(
            model_name="chunkvector",
            name="chunk",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="documents.chunk",
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="collection",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="documents",
                to="documents.collection",
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="uploaded_by",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="documenttext",
            name="document",
            field=models.OneToOneField(
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="decoded",
                serialize=False,
                to="documents.document",
            ),
        ),
        migrations.AddConstraint(
            model_name="chunk",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="chunk_of_tenant"),
        ),
        migrations.AddConstraint(
            model_name="collection",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="collection_of_tenant"),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="document_of_tenant"),
        ),
        migrations.RunSQL(*foreign_key("documents_document", "collection_id", "documents_collection")),
        migrations.RunSQL(*foreign_key("documents_document", "uploaded_by_id", "accounts_user")),
        migrations.RunSQL(*foreign_key("documents_documenttext", "document_id", "documents_document")),
        migrations.RunSQL(*foreign_key("documents_chunk", "document_id", "documents_document")),
        migrations.RunSQL(*foreign_key("documents_chunkvector", "chunk_id", "documents_chunk")),
    ]
