"""Options that several commands share: single ones as types, sets of them as dataclasses (see commands.py)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from firstsight.cli import panels
from firstsight.cli.output import plain_text, print_csv, print_message, print_table, wants_json
from firstsight.config import DB_VARIABLE, default_db

if TYPE_CHECKING:
    from firstsight import Database, Encoder, EncoderOptions
    from firstsight.storage.store import Store

TrustRemoteCode = Annotated[
    bool, panels.encoder("--trust-remote-code", help="Run Python code that comes with a model.")
]
Runtime = Annotated[
    str,
    panels.encoder(
        "--runtime",
        metavar="NAME",
        envvar="FIRSTSIGHT_RUNTIME",
        help="Runtime of the encoder: auto (the fastest that keeps the reference vectors), fast (also int8, if "
        "calibrated) or ENGINE:PRECISION, e.g. torch:fp32 or openvino:bf16.",
    ),
]
Device = Annotated[
    str | None,
    panels.encoder(
        "--device", metavar="NAME", help="Device: cpu, cuda, cuda:1 or mps. By default the fastest one available."
    ),
]
Threads = Annotated[int | None, panels.encoder("--threads", metavar="N", help="CPU threads. By default all available.")]
Json = Annotated[bool, panels.output("--json", help="Print JSON lines. This is the default in a pipe.")]
Quiet = Annotated[bool, panels.output("--quiet", "-q", help="Print no progress and no summary without problems.")]
AllowPrivate = Annotated[
    bool, panels.media("--allow-private", help="Allow media addresses on private and loopback hosts.")
]
Kinds = Annotated[
    list[str] | None,
    panels.filters("--kind", metavar="KIND", help="Only items of this kind: product, video or live (repeatable)."),
]
Where = Annotated[
    str | None,
    panels.filters(
        "--where",
        metavar="SQL",
        help="Condition over columns, e.g. \"price < 50 AND category = 'shoes'\". Put a column name with spaces in "
        "`backticks`.",
    ),
]
IncludeBlocked = Annotated[
    bool, panels.filters("--include-blocked", help="Include items that a safety decision blocks.")
]
IncludeExpired = Annotated[
    bool,
    panels.filters("--include-expired", help="Include items that have expired, such as live streams that are over."),
]

Collapse = Annotated[
    str | None,
    panels.filters(
        "--collapse",
        metavar="none",
        help="Give none to list every variant. If the catalogue has group ids, the default is one of each product, "
        "without the product of ITEM.",
    ),
]

PoliciesFile = Annotated[
    Path | None,
    panels.policies(
        "--policies",
        metavar="FILE",
        envvar="FIRSTSIGHT_POLICIES",
        help="YAML file of safety policies. By default the policies that come with firstsight.",
    ),
]

Depth = Annotated[int, panels.evaluation("-k", "--k", metavar="N", help="Ranks to measure, from the first.")]
Html = Annotated[Path | None, panels.output("--html", metavar="FILE", help="HTML page with the results to write.")]


@dataclass(frozen=True)
class EncoderFlags:
    """Which encoder, and how to run it."""

    encoder: Annotated[
        str | None,
        panels.encoder(
            "--encoder",
            metavar="NAME",
            help="Encoder: starter, open_clip:ARCH/TAG, open_clip:ARCH@FILE, transformers:ORG/NAME, or a folder after "
            "the colon. firstsight models lists them. By default the database's own, else starter.",
        ),
    ] = None
    runtime: Runtime = "auto"
    device: Device = None
    trust_remote_code: TrustRemoteCode = False

    def options(self) -> EncoderOptions:
        """Settings for loading the encoder; slow steps are reported on stderr."""
        import firstsight

        return firstsight.EncoderOptions(
            self.runtime, self.device, trust_remote_code=self.trust_remote_code, on_progress=print_message
        )

    def load(self) -> Encoder:
        """Load the named encoder, or starter, whatever a database holds.

        Raises:
            EncoderError: the encoder cannot be loaded.
        """
        from firstsight.encoders.registry import load_with_options

        return load_with_options(self.encoder or "starter", self.options())


@dataclass(frozen=True)
class DatabaseFlags:
    """Which database."""

    db: Annotated[
        str | None,
        panels.database(
            "--db",
            metavar="DIR",
            help=f"Database: a folder, or an s3://, gs:// or az:// address. "
            f"By default ${DB_VARIABLE}, else ./firstsight-db.",
        ),
    ] = None

    @property
    def address(self) -> str:
        """The database named, else the default one."""
        return self.db or default_db()

    def open(self, encoder: EncoderFlags | None = None, *, allow_private: bool = False) -> Database:
        """Open the database; a missing one is reported at the first use."""
        import firstsight

        policy = firstsight.MediaPolicy(allow_private=allow_private)
        if encoder is None:
            return firstsight.open(self.db, policy=policy)
        return firstsight.open(self.db, encoder=encoder.encoder, encoder_options=encoder.options(), policy=policy)

    def store(self) -> Store:
        """The tables of the database.

        Raises:
            MissingDatabaseError: there is no database.
        """
        from firstsight.storage.store import Store

        return Store.open(self.address)


@dataclass(frozen=True)
class WriterFlags(DatabaseFlags):
    """Which database to write to, and how long to wait for another writer."""

    wait: Annotated[
        float, panels.database("--wait", metavar="SECONDS", min=0, help="Seconds to wait while another process writes.")
    ] = 0.0


NamedTable: TypeAlias = tuple[str, list[str], Sequence[Sequence[object]]]
"""Name of a table, its headings after the first column, and its rows."""


@dataclass(frozen=True)
class TableFlags:
    """How to print a table."""

    json: Json = False
    csv: Annotated[
        bool, panels.output("--csv", help="Print the table as CSV with a header, on a terminal and in a pipe.")
    ] = False

    def __post_init__(self) -> None:
        """Refuse two forms before any work is done."""
        if self.json and self.csv:
            raise typer.BadParameter("cannot be used with --json; choose one of them", param_hint="--csv")

    @property
    def as_json(self) -> bool:
        """Whether to print JSON lines: with --json, and in a pipe without --csv."""
        return not self.csv and wants_json(self.json)

    def print_table(
        self, headings: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[str] = (), *, empty: str = ""
    ) -> None:
        """Print rows as a table or as CSV.

        Args:
            headings: of the columns.
            rows: cells; a `Cell` has another form in CSV.
            right: headings of the columns to align right.
            empty: message on stderr if there are no rows.
        """
        rows = list(rows)
        if self.csv:
            print_csv(headings, rows)
        elif rows or not empty:
            print_table(headings, rows, right)
        if not rows and empty:
            print_message(empty)

    def print_csv_tables(self, first: Sequence[str], tables: Sequence[NamedTable]) -> None:
        """Print several tables with equal headings as one table of CSV.

        Args:
            first: headings of the tables' names and of their first columns.
            tables: name, headings after the first column, and rows.
        """
        headings = tables[0][1] if tables else []
        self.print_table([*first, *headings], [[name, *row] for name, _, rows in tables for row in rows])


def parse_version(text: str) -> int | None:
    """The number of a model's version; None for "none".

    Raises:
        typer.BadParameter: the text is neither.
    """
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit()):
        raise typer.BadParameter(f"{text!r} is no version; give its number, or none")
    return int(text)


def read_strengths(text: str) -> tuple[int, ...]:
    """Read the numbers of --strengths.

    Raises:
        typer.BadParameter: the text is no list of numbers.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise typer.BadParameter(f"{text!r} is no list of strengths such as 1,3,5", param_hint="--strengths")
    return tuple(map(int, parts))


def split_columns(texts: Iterable[str]) -> list[str]:
    """Read the names of --columns.

    Raises:
        typer.BadParameter: a quote is not closed.
    """
    from firstsight.storage.quoted_names import split_names

    try:
        return split_names(texts)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--columns") from None


@dataclass(frozen=True)
class ItemTableFlags(TableFlags):
    """How to print a table of items."""

    columns: Annotated[
        list[str] | None,
        panels.output(
            "--columns",
            metavar="NAME,…",
            help="Columns of the table or CSV, in this order (repeatable): its own, such as score, and those of the "
            'catalogue. Put a name with a comma in "double quotes". JSON has all columns.',
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse two forms, and a list of columns that cannot be read, before any work is done."""
        super().__post_init__()
        if self.columns is not None and not self.names:
            raise typer.BadParameter("names no column, such as title,price", param_hint="--columns")

    @property
    def names(self) -> list[str]:
        """Names of the columns to print; empty for the table's own."""
        return split_columns(self.columns or ())

    def choose(self, names: Iterable[str]) -> list[str]:
        """The columns to print, of these names; all without --columns.

        Raises:
            typer.BadParameter: there is no such column.
        """
        known = list(dict.fromkeys(names))
        for name in self.names:
            if name not in known:
                raise typer.BadParameter(
                    f"there is no column {name!r}; the columns are {', '.join(known)}", param_hint="--columns"
                )
        return self.names or known

    def print_items(
        self,
        db: DatabaseFlags,
        headings: Sequence[str],
        rows: Iterable[Sequence[object]],
        right: Iterable[str] = (),
        *,
        absent: Iterable[str] = (),
        empty: str = "",
    ) -> None:
        """Print rows about items, with the columns of --columns.

        Args:
            db: database of the items, for columns of the catalogue.
            headings, rows, right, empty: as for `print_table`. The column `item` has the ids.
            absent: headings that the table has for other results. They may be chosen, and are empty here, unless the
                catalogue has a column of that name.

        Raises:
            typer.BadParameter: there is no such column.
        """
        rows, right = list(rows), list(right)
        if not self.names:
            self.print_table(headings, rows, right, empty=empty)
            return
        from firstsight.storage.facts.fact_names import FactNames
        from firstsight.storage.facts.item_values import find_item_value

        store = db.store()
        kinds = store.filter_kinds()
        facts = {name: kind for name, kind, _ in FactNames(store.items.schema).shown()}
        kinds |= {name: kind for name, kind in facts.items() if name not in kinds}
        chosen = self.choose([*headings, *absent, *kinds])
        stored = [name for name in dict.fromkeys(chosen) if name in kinds and name not in headings]
        ids = [str(row[headings.index("item")]) for row in rows]
        found = [value for name in stored if (value := find_item_value(store, name, kinds)) is not None]
        of_items = store.column_values(ids, [value.column for value in found]) if found else {}
        values = {item_id: {value.name: value.of_row(row) for value in found} for item_id, row in of_items.items()}
        table = []
        for item_id, row in zip(ids, rows, strict=True):
            cells = dict(zip(headings, row, strict=True)) | {
                name: value if self.csv else plain_text(value) for name, value in values.get(item_id, {}).items()
            }
            table.append([cells.get(name) for name in chosen])
        numbers = [name for name in stored if kinds[name] == "number"]
        self.print_table(chosen, table, [*right, *numbers], empty=empty)
