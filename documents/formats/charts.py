"""Charts (DrawingML, ECMA-376 part 1, chapter 21): the figures that they draw, as a table."""

from collections.abc import Iterator
from typing import Any, Final

from documents.formats import tables
from documents.formats.building import Builder, one_line
from documents.structure import Kind

MOST_POINTS: Final = 2_000  # of a series; a curve of more says nothing as words


def write(root: Any, builder: Builder) -> None:
    """A row for each category, with the value of each series beside the series' name."""
    title = root.find("{*}chart/{*}title")
    if title is not None:
        builder.paragraph("".join(element.text or "" for element in title.iter("{*}t")))
    series = list(root.iter("{*}ser"))[: tables.MOST_COLUMNS]
    names = [next(iter(_points(one.find("{*}tx")).values()), "") for one in series]
    columns = [_points(_first(one, "val", "yVal")) for one in series]
    categories: dict[int, str] = {}
    for one in series:
        categories |= _points(_first(one, "cat", "xVal"))
    header = {number + 1: name for number, name in enumerate(names) if name}
    if columns:
        builder.lines(tables.lines([header, *_rows(categories, columns)], header_rows=1), Kind.TABLE)


def _rows(categories: dict[int, str], columns: list[dict[int, str]]) -> Iterator[tables.Row]:
    for index in sorted(categories.keys() | set().union(*columns)):
        row = {number + 1: values[index] for number, values in enumerate(columns) if index in values}
        yield ({0: categories[index]} if index in categories else {}) | row


def _first(series: Any, *names: str) -> Any:
    return next((found for name in names if (found := series.find(f"{{*}}{name}")) is not None), None)


def _points(reference: Any) -> dict[int, str]:
    """What the program kept of the cells that a series refers to, by their index."""
    points: dict[int, str] = {}
    for point in () if reference is None else reference.iter("{*}pt"):
        index, value = point.get("idx") or "", point.find("{*}v")
        if value is not None and value.text and index.isdecimal() and len(points) < MOST_POINTS:
            points[int(index[:9])] = _short(one_line(value.text))
    return points


def _short(value: str) -> str:
    """A number without the noise of its binary form: 0.30000000000000004 is 0.3."""
    try:
        return f"{float(value):.15g}"
    except ValueError:
        return value
