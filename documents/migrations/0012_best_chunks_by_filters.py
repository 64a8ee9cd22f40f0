from django.db import migrations

# `documents_best_chunks` (0004 says why it is) with the filters that compare metadata and dates. The one without them
# stays, for the processes of the older version that serve until they are restarted.
SEARCH = """
CREATE FUNCTION documents_best_chunks(
    rare int[], question sparsevec, depth int, collections uuid[], documents uuid[], wanted jsonb,
    path jsonpath, variables jsonb, created tstzrange, ready tstzrange
) RETURNS TABLE (id uuid) LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 AS $$
BEGIN
    -- By EXECUTE, so that each question gets a plan for its own terms.
    RETURN QUERY EXECUTE '
        SELECT chunk.id FROM documents_chunk AS chunk
        WHERE chunk.tenant_id = nullif(current_setting(''ragsite.tenant'', true), '''')::uuid AND chunk.terms && $1
        AND ($4 IS NULL AND $5 IS NULL AND $6 IS NULL AND $7 IS NULL AND $9 IS NULL AND $10 IS NULL OR EXISTS (
            SELECT FROM documents_document AS document
            WHERE document.id = chunk.document_id
            AND ($4 IS NULL OR document.collection_id = ANY ($4))
            AND ($5 IS NULL OR document.id = ANY ($5))
            AND ($6 IS NULL OR document.metadata @> $6)
            AND ($7 IS NULL OR jsonb_path_match_tz(document.metadata, $7, $8, true))
            AND ($9 IS NULL OR document.created_at <@ $9)
            AND ($10 IS NULL OR document.ready_at <@ $10)))
        ORDER BY chunk.weights <#> $2 LIMIT $3'
    USING rare, question, depth, collections, documents, wanted, path, variables, created, ready;
END $$;

-- Names mean what they mean here, whatever the caller's search path says.
DO $$ BEGIN
    EXECUTE format(
        'ALTER FUNCTION documents_best_chunks(int[], sparsevec, int, uuid[], uuid[], jsonb, jsonpath, jsonb, tstzrange, tstzrange)'
        ' SET search_path = %s, pg_temp', current_setting('search_path'));
END $$;
"""
NO_SEARCH = """
DROP FUNCTION documents_best_chunks(int[], sparsevec, int, uuid[], uuid[], jsonb, jsonpath, jsonb, tstzrange, tstzrange);
"""


class Migration(migrations.Migration):
    dependencies = [("documents", "0011_vectors_of_documents")]

    operations = [migrations.RunSQL(SEARCH, NO_SEARCH)]
