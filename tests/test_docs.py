"""The documentation says what the code says: settings, scopes, error codes, links, and the OpenAPI schema."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from apikeys.models import APIKey
from documents.structure import Failure
from ragsite.lib import errors, problems

ROOT = Path(settings.BASE_DIR)
DOCS = ROOT / "docs"
SNAPSHOT = DOCS / "openapi.yaml"
APPS = [name for name in settings.INSTALLED_APPS if (ROOT / name / "__init__.py").exists()]
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
SOURCES = [
    path for app in APPS for path in sorted((ROOT / app).rglob("*.py")) if "migrations" not in path.parts
]

_READ = re.compile(r"environ(?:ment\.\w+\(|\.get\()\s*[\"']([A-Z][A-Z_]+)[\"']")
_SECRET = re.compile(r"environment\.secret\(\s*\"([A-Z_]+)\"")
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# Calls that take a code as their positional argument of this number.
_CODE_ARGUMENT = {"_page": 2, "FieldError": 1}


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def read(pattern: re.Pattern[str]) -> set[str]:
    """What the settings, gunicorn's among them, read from the environment."""
    files = [*(ROOT / "ragsite" / "settings").glob("*.py"), ROOT / "docker" / "gunicorn.conf.py"]
    return {name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))}


def missing(names: set[str], page: str) -> list[str]:
    return sorted(name for name in names if f"`{name}`" not in page)


def codes_in(source: str) -> Iterator[str]:
    """Every literal that is given as a code: `code="…"`, a code by its place, the code of a class."""
    for node in ast.walk(ast.parse(source)):
        values: list[ast.expr] = []
        if isinstance(node, ast.Call):
            values = [word.value for word in node.keywords if word.arg in {"code", "error_code"}]
            place = _CODE_ARGUMENT.get(getattr(node.func, "attr", getattr(node.func, "id", "")))
            values += [] if place is None else node.args[place : place + 1]
        for value in values:
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
                yield value.value


def all_codes() -> set[str]:
    found = {code for path in SOURCES for code in codes_in(path.read_text(encoding="utf-8"))}
    found |= {subclass.code for subclass in errors.AppError.__subclasses__()} | {errors.AppError.code}
    return found | set(problems.CODES.values()) | set(Failure)


def links(page: Path) -> list[str]:
    found = _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return [target for target in found if "://" not in target and not target.startswith(("#", "mailto:"))]


def test_every_setting_is_described() -> None:
    names = read(_READ)
    assert len(names) > 40  # or the pattern has gone blind
    assert missing(names, text("configuration.md")) == []


def test_every_secret_is_said_to_have_a_file_variant() -> None:
    page = text("configuration.md")
    said = page[page.index("`NAME_FILE`") : page.index("Docker and Kubernetes")]
    assert missing(read(_SECRET), said) == []


def test_configuration_describes_no_setting_that_is_gone() -> None:
    rows = set(re.findall(r"^\| `([A-Z][A-Z_]+)`", text("configuration.md"), re.MULTILINE))
    assert rows - read(_READ) == set()


def test_every_scope_is_described() -> None:
    assert missing(set(APIKey.Scope.values), text("security.md")) == []


def test_codes_are_collected_from_calls_by_name_and_by_place() -> None:
    source = 'raise Invalid("x", code="one")\n_page(request, 413, "two", "x")\nerrors.FieldError("f", "three", "x")'
    assert set(codes_in(source)) == {"one", "two", "three"}


def test_every_error_code_is_described() -> None:
    codes = all_codes()
    assert {"malformed", "not_rotatable", "interrupted", "needs_ocr", "internal", "model_timeout"} <= codes
    assert missing(codes, text("errors.md")) == []


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_repository_resolves(page: Path) -> None:
    broken = [target for target in links(page) if not (page.parent / target.partition("#")[0]).exists()]
    assert broken == []


def test_readme_leads_to_every_page() -> None:
    reached = {(ROOT / target).resolve() for target in links(ROOT / "README.md")}
    assert [page.name for page in PAGES[1:] if page.resolve() not in reached] == []


def test_image_holds_every_app() -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [app for app in APPS if f"!{app}" not in kept] == []


def test_openapi_snapshot_is_current(tmp_path: Path) -> None:
    made = tmp_path / "openapi.yaml"
    call_command("spectacular", file=str(made))
    kept = SNAPSHOT.read_text(encoding="utf-8") if SNAPSHOT.exists() else ""
    assert made.read_text(encoding="utf-8") == kept, (
        "The schema has changed. Read the difference, then: manage.py spectacular --file docs/openapi.yaml"
    )
