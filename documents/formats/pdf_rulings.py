"""The lines drawn on a PDF page, and the grids they make: a table whose cells nobody has to guess."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import pypdfium2_raw as pdfium

THIN: Final = 2.5  # points: a rectangle that is no thicker is a line
TOUCH: Final = 3.0  # points: lines whose ends are no further apart meet
SHORTEST: Final = 6.0  # points
PATHS: Final = 5_000  # of a page that are looked at: drawings have more
LINES: Final = 400  # in either direction: more are a drawing
NESTED: Final = 3  # forms in forms that are looked into

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, order=True)
class Ruling:
    """A line across or down: where it runs, and from where to where."""

    at: float
    begin: float
    end: float


@dataclass(slots=True)
class Grid:
    """Where a table's columns and rows are parted, outer edges included, both ascending."""

    xs: list[float]
    ys: list[float]


@dataclass(slots=True)
class Rulings:
    across: list[Ruling] = field(default_factory=list)
    down: list[Ruling] = field(default_factory=list)

    def parts(self, left: float, right: float, height: float) -> bool:
        """Whether a line runs down between two words at a height."""
        return any(left <= line.at <= right and line.begin <= height <= line.end for line in self.down)


def read(page: pdfium.FPDF_PAGE) -> Rulings:
    """The page's lines in its own coordinates, pieces of one line put together; none of a page that is a drawing."""
    found = Rulings()
    budget = PATHS
    for path, matrix in _paths(page):
        budget -= 1
        if budget < 0:
            return Rulings()
        _add(found, path, matrix)
    merged = Rulings(_merged(found.across), _merged(found.down))
    return merged if max(len(merged.across), len(merged.down)) <= LINES else Rulings()


def _paths(page: pdfium.FPDF_PAGE) -> Iterator[tuple[pdfium.FPDF_PAGEOBJECT, pdfium.FS_MATRIX]]:
    for index in range(min(PATHS, pdfium.FPDFPage_CountObjects(page))):
        yield from _inner(pdfium.FPDFPage_GetObject(page, index), _identity(), NESTED)


def _inner(
    item: pdfium.FPDF_PAGEOBJECT, outer: pdfium.FS_MATRIX, depth: int
) -> Iterator[tuple[pdfium.FPDF_PAGEOBJECT, pdfium.FS_MATRIX]]:
    kind = pdfium.FPDFPageObj_GetType(item)
    if kind not in {pdfium.FPDF_PAGEOBJ_PATH, pdfium.FPDF_PAGEOBJ_FORM}:
        return
    own = _identity()
    pdfium.FPDFPageObj_GetMatrix(item, own)
    matrix = _product(own, outer)
    if kind == pdfium.FPDF_PAGEOBJ_PATH:
        yield item, matrix
    elif depth:
        for index in range(min(PATHS, pdfium.FPDFFormObj_CountObjects(item))):
            yield from _inner(pdfium.FPDFFormObj_GetObject(item, index), matrix, depth - 1)


def _identity() -> pdfium.FS_MATRIX:
    return pdfium.FS_MATRIX(a=1, b=0, c=0, d=1, e=0, f=0)


def _product(one: pdfium.FS_MATRIX, two: pdfium.FS_MATRIX) -> pdfium.FS_MATRIX:
    """First `one`, then `two`."""
    return pdfium.FS_MATRIX(
        a=one.a * two.a + one.b * two.c,
        b=one.a * two.b + one.b * two.d,
        c=one.c * two.a + one.d * two.c,
        d=one.c * two.b + one.d * two.d,
        e=one.e * two.a + one.f * two.c + two.e,
        f=one.e * two.b + one.f * two.d + two.f,
    )


def _add(found: Rulings, path: pdfium.FPDF_PAGEOBJECT, matrix: pdfium.FS_MATRIX) -> None:
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDFPath_GetDrawMode(path, fill, stroke)
    if not fill.value and not stroke.value:
        return
    points = _points(path, matrix)
    if not points:
        return
    xs, ys = [x for x, _ in points], [y for _, y in points]
    width, height = max(xs) - min(xs), max(ys) - min(ys)
    if height <= THIN < SHORTEST <= width:
        found.across.append(Ruling((min(ys) + max(ys)) / 2, min(xs), max(xs)))
    elif width <= THIN < SHORTEST <= height:
        found.down.append(Ruling((min(xs) + max(xs)) / 2, min(ys), max(ys)))
    elif stroke.value:
        for (x, y), (to_x, to_y) in pairwise(points):
            if abs(y - to_y) < 1 and abs(x - to_x) >= SHORTEST:
                found.across.append(Ruling(y, min(x, to_x), max(x, to_x)))
            elif abs(x - to_x) < 1 and abs(y - to_y) >= SHORTEST:
                found.down.append(Ruling(x, min(y, to_y), max(y, to_y)))


def _points(path: pdfium.FPDF_PAGEOBJECT, matrix: pdfium.FS_MATRIX) -> list[Point]:
    """A path's corners, its first again where it is closed; none of one that is curved or has many."""
    count = pdfium.FPDFPath_CountSegments(path)
    points: list[Point] = []
    if not 2 <= count <= 64:
        return []
    x, y = ctypes.c_float(), ctypes.c_float()
    for index in range(count):
        segment = pdfium.FPDFPath_GetPathSegment(path, index)
        kind = pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_BEZIERTO or (kind == pdfium.FPDF_SEGMENT_MOVETO and len(points) > 1):
            return points if kind == pdfium.FPDF_SEGMENT_MOVETO else []
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        points.append(
            (
                matrix.a * x.value + matrix.c * y.value + matrix.e,
                matrix.b * x.value + matrix.d * y.value + matrix.f,
            )
        )
        if pdfium.FPDFPathSegment_GetClose(segment):
            points.append(points[0])
    return points


def _merged(rulings: list[Ruling]) -> list[Ruling]:
    """The lines with those that run on in each other made one."""
    tracks: list[list[Ruling]] = []
    for line in sorted(rulings):
        if tracks and line.at - tracks[-1][0].at <= THIN:
            tracks[-1].append(line)
        else:
            tracks.append([line])
    result = []
    for track in tracks:
        at = track[0].at
        begin, end = float("inf"), float("-inf")
        for line in sorted(track, key=lambda piece: piece.begin):
            if line.begin > end + TOUCH:
                if end > begin:
                    result.append(Ruling(at, begin, end))
                begin, end = line.begin, line.end
            end = max(end, line.end)
        result.append(Ruling(at, begin, end))
    return result


def grids(rulings: Rulings) -> list[Grid]:
    """The grids of at least two rows and two columns, each made of the lines that meet."""
    unseen = set(range(len(rulings.down)))
    result = []
    while unseen:
        group = _group(rulings, unseen)
        lines_across, lines_down = group
        if not lines_across:
            continue
        xs = _places([line.at for line in lines_down] + [x for r in lines_across for x in (r.begin, r.end)])
        ys = _places([line.at for line in lines_across] + [y for r in lines_down for y in (r.begin, r.end)])
        if len(xs) > 2 and len(ys) > 2:
            result.append(Grid(xs, ys))
    return result


def _group(rulings: Rulings, unseen: set[int]) -> tuple[list[Ruling], list[Ruling]]:
    """One set of lines that meet, taken out of `unseen`, which counts the lines down."""
    down, across = {unseen.pop()}, set[int]()
    waiting = list(down)
    while waiting:
        line = rulings.down[waiting.pop()]
        for place, other in enumerate(rulings.across):
            if place in across or not _meet(other, line):
                continue
            across.add(place)
            reached = [number for number in unseen if _meet(other, rulings.down[number])]
            unseen.difference_update(reached)
            down.update(reached)
            waiting += reached
    return [rulings.across[n] for n in across], [rulings.down[n] for n in down]


def _meet(across: Ruling, down: Ruling) -> bool:
    return (
        across.begin - TOUCH <= down.at <= across.end + TOUCH
        and down.begin - TOUCH <= across.at <= down.end + TOUCH
    )


def _places(positions: list[float]) -> list[float]:
    """The positions, those that are one place given once."""
    result: list[float] = []
    for position in sorted(positions):
        if not result or position - result[-1] > TOUCH:
            result.append(position)
    return result
