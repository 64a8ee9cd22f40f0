from django.db import migrations, models

# Every row is written anew, and an HNSW index would take each of them in one by one: it goes first. The chore that
# tends the spaces builds it again, concurrently; until then searches compare all vectors.
NO_INDEXES = """
DO $$ DECLARE index regclass; BEGIN
    FOR index IN SELECT oid FROM pg_class WHERE relkind = 'i' AND starts_with(relname, 'vector_hnsw_') LOOP
        EXECUTE format('DROP INDEX %s', index);
    END LOOP;
END $$;
"""
FILL = """
UPDATE documents_chunkvector AS vector SET document_id = chunk.document_id
FROM documents_chunk AS chunk WHERE chunk.id = vector.chunk_id;
"""


class Migration(migrations.Migration):
    dependencies = [("documents", "0010_embeddingspace_batch")]

    operations = [
        migrations.AddField("chunkvector", "document_id", models.UUIDField(editable=False, null=True)),
        migrations.RunSQL(NO_INDEXES, migrations.RunSQL.noop),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AlterField("chunkvector", "document_id", models.UUIDField(editable=False)),
        migrations.AddIndex(
            "chunkvector", models.Index(name="vector_of_document", fields=["document_id", "space"])
        ),
    ]
