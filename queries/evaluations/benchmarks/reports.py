"""Annual reports of invented companies, and questions with known answers, where the words mislead. Pure.

The reports of all companies and years have the same prose, and the same tables with the figures of three years. A
question asks for a figure in words that all the prose is full of, and that its row in the table lacks: a search by
words finds the prose. The reports and questions are the same each time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

_SEED: Final = 7
_YEARS: Final = range(2016, 2022)
_COLUMNS: Final = 3  # the years of a table
_QUESTIONS: Final = 240
_COMPANIES: Final = (
    "Alder Marine", "Brixton Foods", "Cawdor Chemicals", "Dunmore Rail", "Elgin Textiles",
    "Fairholm Energy", "Garrick Paper", "Halden Optics", "Ivybridge Tools", "Jarrow Steel",
)  # fmt: skip


class Item(NamedTuple):
    """A row of a table. `questions` and `prose` describe it in other words; `{company}` and `{year}` are filled in."""

    row: str
    questions: tuple[str, ...]
    prose: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the names of the reports with its answer in a table, and the answer: a figure as printed."""

    text: str
    reports: frozenset[str]
    figure: str


_TABLES: Final[Mapping[str, Sequence[Item]]] = {
    "Consolidated statement of income": (
        Item(
            "Net sales",
            ("How much did {company} earn from its customers in {year}?",
             "What did customers pay {company} for its products in {year}?"),
            "What customers pay us for our products, and so how much we earn, differs from year to year.",
        ),
        Item(
            "Expense of goods sold",
            ("What did {company} pay to make its products in {year}?",
             "How much did making its products cost {company} in {year}?"),
            "How much making our products will cost depends on what we have to pay for steel, power and transport.",
        ),
        Item(
            "Research and development",
            ("What did {company} invest in inventing new things in {year}?",
             "How much money went into new ideas at {company} in {year}?"),
            "Much of our future depends on new ideas and on inventing new things, into which money has to go early.",
        ),
        Item(
            "Selling and marketing",
            ("How much did {company} spend to advertise in {year}?",
             "What did it cost {company} to win buyers in {year}?"),
            "To win buyers we advertise, and what we spend to advertise may cost more than it brings in.",
        ),
        Item(
            "Finance expense",
            ("What interest did lenders charge {company} in {year}?",
             "How much did its loans cost {company} in {year}?"),
            "Lenders may charge us a higher interest than they did, and how much our loans cost is not ours to decide.",
        ),
        Item(
            "Income tax expense",
            ("How much did {company} owe the state on its profit in {year}?",
             "What did the government take of the profit of {company} in {year}?"),
            "The government may change what it takes of our profit, and we may owe the state more than we expect.",
        ),
    ),
    "Consolidated balance sheet": (
        Item(
            "Cash and cash equivalents",
            ("How much money did {company} have in the bank at the end of {year}?",
             "What funds could {company} use at once at the end of {year}?"),
            "Money that we have in the bank at the end of a year are funds that we can use at once, if the bank is sound.",
        ),
        Item(
            "Trade receivables",
            ("How much did customers still owe {company} at the end of {year}?",
             "What was {company} waiting to be paid at the end of {year}?"),
            "Customers who still owe us money at the end of a year may be late, and we may be waiting to be paid.",
        ),
        Item(
            "Inventories",
            ("What were the goods in the warehouses of {company} worth in {year}?",
             "How much unsold stock did {company} hold in {year}?"),
            "Goods in our warehouses may be worth less than we thought, and unsold stock is dear to hold.",
        ),
        Item(
            "Property, plant and equipment",
            ("What were the buildings and machines of {company} worth in {year}?",
             "How much were the factories of {company} valued at in {year}?"),
            "Our buildings, machines and factories may be worth less than they are valued at if demand moves elsewhere.",
        ),
        Item(
            "Borrowings from credit institutions",
            ("How much did {company} owe to banks in {year}?",
             "How deep in debt with its banks was {company} in {year}?"),
            "Whoever is deep in debt with its banks depends on them: what we owe to banks has to be paid back in time.",
        ),
        Item(
            "Trade payables",
            ("What bills from suppliers had {company} not paid in {year}?",
             "How much did {company} still owe its suppliers in {year}?"),
            "Suppliers send us bills, and if we do not pay what we still owe our suppliers they may not deliver.",
        ),
    ),
    "Consolidated statement of cash flows": (
        Item(
            "Purchase of fixed assets",
            ("How much did {company} invest in new machines in {year}?",
             "What did {company} spend on new buildings and machines in {year}?"),
            "We invest in new machines and spend on new buildings whenever the old ones no longer serve us well.",
        ),
        Item(
            "Repurchase of own shares",
            ("How much money did {company} spend on buying back its stock in {year}?",
             "What did {company} pay to take its stock off the market in {year}?"),
            "We may spend money on buying back stock and so take it off the market, and we may stop buying back at any time.",
        ),
        Item(
            "Dividends paid",
            ("How much profit did {company} hand out to its owners in {year}?",
             "What did the owners of {company} get in {year}?"),
            "What our owners get of the profit, and whether we hand out any, is decided by the owners each year.",
        ),
        Item(
            "Proceeds from borrowings",
            ("How much new money did {company} raise from lenders in {year}?",
             "What new loans did {company} take in {year}?"),
            "Should we have to take new loans or raise new money from lenders, we may find none who will lend.",
        ),
    ),
    "Notes: personnel": (
        Item(
            "Average headcount",
            ("How many people worked for {company} in {year}?",
             "How many workers did {company} have in {year}?"),
            "Many people have worked for us for years, and workers who leave us take with them what they know.",
        ),
        Item(
            "Wages and salaries",
            ("What did {company} pay its people in {year}?",
             "How much did its staff earn at {company} in {year}?"),
            "What we pay our people, and how much staff can earn elsewhere, decides whether they stay with us.",
        ),
        Item(
            "Remuneration of the board",
            ("What did the directors of {company} get paid in {year}?",
             "How much did those at the top of {company} earn in {year}?"),
            "Directors and those at the top get paid by what the firm earns over years, and not by one good year.",
        ),
        Item(
            "Pension contributions",
            ("How much did {company} put aside for the old age of its people in {year}?",
             "What did {company} pay for retired workers in {year}?"),
            "We put aside money for the old age of our people, and pay more for retired workers as they live longer.",
        ),
    ),
    "Notes: leases and contingencies": (
        Item(
            "Lease liabilities due within one year",
            ("What rent did {company} have to pay soon in {year}?",
             "How much did {company} owe for rented places in {year}?"),
            "For rented places we owe rent, which we have to pay whether we use them or not.",
        ),
        Item(
            "Provision for litigation",
            ("How much did {company} set aside for lawsuits in {year}?",
             "What did {company} expect to lose in court in {year}?"),
            "We expect to be in court now and then, and may lose lawsuits for which we have set aside too little.",
        ),
        Item(
            "Impairment of goodwill",
            ("How much did {company} write off on firms that it had bought in {year}?",
             "What did the firms that {company} had bought lose in value in {year}?"),
            "Firms that we have bought may lose in value, and we may then have to write off what we paid for them.",
        ),
        Item(
            "Carbon allowances",
            ("What did {company} spend on the right to pollute in {year}?",
             "How much did its emissions cost {company} in {year}?"),
            "The right to pollute will cost more, and what we spend on our emissions may grow every year.",
        ),
    ),
}  # fmt: skip
_ITEMS: Final = tuple(item for items in _TABLES.values() for item in items)


def documents() -> dict[str, str]:
    """Markdown by file name: a report for each company and year."""
    figures = _figures()
    return {
        _name(company, year): "\n\n".join(_report(company, year, figures))
        for company in _COMPANIES
        for year in _YEARS
    }


def questions() -> list[Asked]:
    """Shuffled, so that each part of them is a fair sample."""
    random, figures = Random(_SEED), _figures()  # noqa: S311  the same questions each time
    asked = [
        Asked(
            text.format(company=company, year=year),
            frozenset(_name(company, later) for later in _YEARS if year <= later < year + _COLUMNS),
            figures[company, year, item.row],
        )
        for company in _COMPANIES
        for year in _YEARS
        for item in _ITEMS
        for text in item.questions
    ]
    return random.sample(asked, _QUESTIONS)


def _figures() -> dict[tuple[str, int, str], str]:
    """The figure of each company, year and row. No figure comes twice, so that a report with it has the answer."""
    random = Random(_SEED)  # noqa: S311
    years = range(_YEARS[0] - _COLUMNS, _YEARS[-1] + 1)
    keys = [(company, year, item.row) for company in _COMPANIES for year in years for item in _ITEMS]
    return dict(zip(keys, (f"{n:,}" for n in random.sample(range(10_000, 99_999), len(keys))), strict=True))


def _name(company: str, year: int) -> str:
    return f"{company.lower().replace(' ', '-')}-{year}.md"


def _report(company: str, year: int, figures: Mapping[tuple[str, int, str], str]) -> Iterator[str]:
    yield f"# {company} annual report {year}"
    yield "## Risks and outlook"
    for number, item in enumerate(_ITEMS):
        opening = f"In {year} as in other years this holds for {company}. " if number % 4 == 0 else ""
        yield f"{opening}{item.prose}"
    for title, items in _TABLES.items():
        yield f"## {title}"
        yield "\n".join(_table(company, year, items, figures))


def _table(
    company: str, year: int, items: Sequence[Item], figures: Mapping[tuple[str, int, str], str]
) -> Iterator[str]:
    years = range(year, year - _COLUMNS, -1)
    yield f"| in thousands | {' | '.join(map(str, years))} |"
    yield "|---|" + "---|" * _COLUMNS
    for item in items:
        yield f"| {item.row} | {' | '.join(figures[company, column, item.row] for column in years)} |"
