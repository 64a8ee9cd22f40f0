from django.db import migrations

from ragsite.lib.row_security import wall


class Migration(migrations.Migration):
    dependencies = [("documents", "0002_keys_of_tenants")]

    operations = [
        migrations.RunSQL(*wall("documents_collection")),
        migrations.RunSQL(*wall("documents_document")),
        migrations.RunSQL(*wall("documents_documenttext")),
        migrations.RunSQL(*wall("documents_chunk")),
        migrations.RunSQL(*wall("documents_term")),
        migrations.RunSQL(*wall("documents_corpusstatistics")),
        migrations.RunSQL(*wall("documents_chunkvector")),
    ]
