from django.db import migrations

from ragsite.lib.row_security import foreign_key, wall

TABLES = ("set", "question", "run", "result")
REFERENCES = (
    ("question", "set_id", "set"),
    ("run", "set_id", "set"),
    ("result", "run_id", "run"),
    ("result", "question_id", "question"),
)


class Migration(migrations.Migration):
    dependencies = [("queries", "0009_evaluation")]

    operations = [
        *(migrations.RunSQL(*wall(f"queries_evaluation{table}")) for table in TABLES),
        *(
            migrations.RunSQL(
                *foreign_key(f"queries_evaluation{table}", column, f"queries_evaluation{target}")
            )
            for table, column, target in REFERENCES
        ),
    ]
