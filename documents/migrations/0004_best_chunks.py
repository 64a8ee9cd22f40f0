from django.db import migrations

# Under a policy an index serves an operator only where Postgres trusts the operator not to tell of the rows that it
# is shown. It does not trust the overlap of arrays, so that BM25's candidates would be looked for in every chunk of
# the tenant. This function looks for them with its owner's eyes, which may see every chunk, and is a wall itself: it
# takes the tenant from where the policies take it, and from nowhere else.
SEARCH = """
DO $$ BEGIN EXECUTE format('CREATE POLICY search ON documents_chunk FOR SELECT TO %I USING (true)', current_user); END $$;

CREATE FUNCTION documents_best_chunks(
    rare int[], question sparsevec, depth int, collections uuid[], documents uuid[], wanted jsonb
) RETURNS TABLE (id uuid) LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 AS $$
BEGIN
    -- By EXECUTE, so that each question gets a plan for its own terms.
    RETURN QUERY EXECUTE '
        SELECT chunk.id FROM documents_chunk AS chunk
        WHERE chunk.tenant_id = nullif(current_setting(''ragsite.tenant'', true), '''')::uuid AND chunk.terms && $1
        AND ($4 IS NULL AND $5 IS NULL AND $6 IS NULL OR EXISTS (
            SELECT FROM documents_document AS document
            WHERE document.id = chunk.document_id
            AND ($4 IS NULL OR document.collection_id = ANY ($4))
            AND ($5 IS NULL OR document.id = ANY ($5))
            AND ($6 IS NULL OR document.metadata @> $6)))
        ORDER BY chunk.weights <#> $2 LIMIT $3'
    USING rare, question, depth, collections, documents, wanted;
END $$;

-- Names mean what they mean here, whatever the caller's search path says.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION documents_best_chunks SET search_path = %s, pg_temp', current_setting('search_path'));
END $$;
"""
NO_SEARCH = """
DROP FUNCTION documents_best_chunks;
DROP POLICY search ON documents_chunk;
"""


class Migration(migrations.Migration):
    dependencies = [("documents", "0003_row_level_security")]

    operations = [migrations.RunSQL(SEARCH, NO_SEARCH)]
