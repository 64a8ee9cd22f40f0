"""The bodies of uploads and documents."""

import json
from typing import Any

from rest_framework import serializers

from documents.intake import DEFAULT_COLLECTION, check_metadata
from documents.models import Document
from ragsite.lib.errors import Invalid
from ragsite.lib.fields import NameText, StrictSerializer


class UploadIn(StrictSerializer):
    file = serializers.FileField(allow_empty_file=True, max_length=None)  # `intake` refuses an empty one
    collection = NameText(
        max_length=100, default=DEFAULT_COLLECTION, help_text="Its name, made when it is new, or its id."
    )
    metadata = serializers.CharField(required=False, help_text="A JSON object, for filters.")
    replace = serializers.BooleanField(
        default=False,
        help_text="Once it is ready, it takes the place of the collection's earlier documents of the same file name.",
    )

    def validate_metadata(self, value: str) -> dict[str, Any]:
        try:
            return check_metadata(json.loads(value))
        except (ValueError, RecursionError) as error:
            raise serializers.ValidationError("The metadata is not valid JSON.", code="metadata") from error
        except Invalid as error:
            raise serializers.ValidationError(error.detail, code=error.error_code) from error


class DocumentOut(serializers.ModelSerializer[Document]):
    collection = serializers.CharField(source="collection.name")
    progress = serializers.SerializerMethodField()
    replaces = serializers.BooleanField(
        help_text="Whether it takes the place of earlier documents of its name."
    )
    timings_ms = serializers.DictField(
        source="timings",
        child=serializers.FloatField(),
        read_only=True,
        help_text="Milliseconds by stage, and until the last attempt began (`waiting`).",
    )

    class Meta:
        model = Document
        fields = ["id", "title", "filename", "collection", "media_type", "bytes", "sha256", "metadata", "status",
                  "stage", "progress", "queue", "attempts", "timings_ms", "pages", "unread_pages", "ocr_pages",
                  "chunks", "replaces", "error_code", "error_detail", "created_at", "ready_at"]  # fmt: skip

    def get_progress(self, document: Document) -> dict[str, int]:
        return {"done": document.progress_done, "total": document.progress_total}


class DocumentFilter(StrictSerializer):
    """The query string of the list."""

    status = serializers.ChoiceField(choices=Document.Status.choices, required=False)
    collection = serializers.CharField(max_length=100, required=False, help_text="Its name or id.")
    cursor = serializers.CharField(required=False)
    limit = serializers.IntegerField(required=False, min_value=1)
    format = serializers.CharField(required=False)
