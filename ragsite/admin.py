"""The audit log, for operators."""

from typing import Any

from auditlog.models import LogEntry
from django.contrib import admin
from django.utils.html import format_html, format_html_join

from ragsite.lib.admins import ReadOnlyAdmin

_SHOWN = 5  # names of fields in the list

admin.site.unregister(LogEntry)


@admin.register(LogEntry)
class AuditAdmin(ReadOnlyAdmin):
    """Read only, for everybody: a log that its readers can change proves nothing."""

    list_display = [
        "timestamp",
        "by",
        "action",
        "content_type",
        "object_repr",
        "changed",
        "remote_addr",
        "cid",
    ]
    list_filter = [
        ("content_type", admin.RelatedOnlyFieldListFilter),
        "action",
        "timestamp",
        ("actor", admin.RelatedOnlyFieldListFilter),
    ]
    list_select_related = ["content_type"]
    search_fields = [
        "object_repr",
        "object_pk",
        "cid",
        "remote_addr",
        "actor__username",
        "additional_data__by",
    ]
    search_help_text = "What was changed, by its name or id; a request's id; an address; who did it."
    fields = ["timestamp", "by", "action", "content_type", "object_repr", "object_pk", "before_and_after",
              "remote_addr", "cid"]  # fmt: skip

    @admin.display(description="by")
    def by(self, entry: LogEntry) -> str:
        return str((entry.additional_data or {}).get("by", ""))

    @admin.display(description="changes")
    def changed(self, entry: LogEntry) -> str:
        names = sorted(entry.changes or {})
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return ", ".join(names[:_SHOWN]) + more

    @admin.display(description="before and after")
    def before_and_after(self, entry: LogEntry) -> str:
        changes: dict[str, Any] = entry.changes or {}
        rows = ((name, *pair) for name, pair in sorted(changes.items()))
        body = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
        head = format_html("<tr><th>{}</th><th>{}</th><th>{}</th></tr>", "field", "before", "after")
        return format_html("<table>{}{}</table>", head, body)
