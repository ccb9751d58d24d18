"""What a project file says: its tables, how they are related, whose profiles they hold, and the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from segengine.errors import Place
from segengine.project.keep import Keep
from segengine.project.schedule import Schedule
from segengine.project.tracking import NO_TRACKING_SETTINGS, Tracking
from segengine.project.types import AttributeType

if TYPE_CHECKING:
    from segengine.project.analysis import Evaluated

TableFormat = Literal["delta", "parquet", "csv"]


@dataclass(frozen=True)
class ColumnSetting:
    """What the project says of a column where the stored one is not what is meant."""

    name: str
    type: AttributeType | None = None
    source: str = ""
    label: str = ""
    zone: str = ""
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Table:
    """A source table. `location` is a path, or a catalog name where `is_catalog`."""

    name: str
    location: str
    is_catalog: bool
    format: TableFormat
    key: tuple[str, ...]
    at: str
    columns: tuple[ColumnSetting, ...]
    prediction: bool = False
    place: Place = field(default=Place(), compare=False)

    def column_setting(self, name: str) -> ColumnSetting | None:
        """Return what the project says of a column, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def stored_name(self, name: str) -> str:
        """Return the stored name of a column the project may have renamed."""
        setting = self.column_setting(name)
        return setting.source if setting and setting.source else name


@dataclass(frozen=True)
class Relationship:
    """A many-to-one (or one-to-one) link from foreign key columns to a table's key."""

    name: str
    from_table: str
    from_columns: tuple[str, ...]
    to_table: str
    one_to_one: bool = False
    place: Place = field(default=Place(), compare=False)

    def __hash__(self) -> int:
        """Return a hash of what tells a project's relationships apart: attributes are hashed often, with their hops."""
        return hash((self.from_table, self.name))


@dataclass(frozen=True)
class AccountLink:
    """The audience a profile's account is of, and the relationship that leads from the profile to it."""

    audience: str
    relationship: Relationship


@dataclass(frozen=True)
class Audience:
    """A kind of profile and its table; `account` is there where its profiles belong to those of another audience."""

    name: str
    table: str
    account: AccountLink | None = None
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Activity:
    """What the rows of a table say that somebody did: the columns that templates of measures ask for, '' where none.

    `at`: when it happened; `start`, `end`: from when to when it lasted; `amount`: what it was worth; `earned`,
    `redeemed`: loyalty points.
    """

    name: str
    table: str
    at: str = ""
    amount: str = ""
    start: str = ""
    end: str = ""
    earned: str = ""
    redeemed: str = ""
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Settings:
    """The project file after its environment's overlay."""

    project: str
    root: Path
    time_zone: str
    warehouse: str
    definitions: str
    engine: str
    tables: Mapping[str, Table]
    relationships: tuple[Relationship, ...]
    audiences: Mapping[str, Audience]
    environment: str = ""
    activities: Mapping[str, Activity] = field(default_factory=dict)
    schedule: Schedule | None = None
    keep: Keep | None = None
    suppress_key: str = ""
    tracking: Tracking = NO_TRACKING_SETTINGS

    def relationships_from(self, table: str) -> list[Relationship]:
        """Return the many-to-one links that start at a table."""
        return [link for link in self.relationships if link.from_table == table]

    def account_of(self, audience: str) -> Audience | None:
        """Return the audience of the accounts that an audience's profiles belong to, or None."""
        link = self.audiences[audience].account
        return self.audiences[link.audience] if link else None

    @property
    def is_catalog_warehouse(self) -> bool:
        """Whether results go to `catalog.schema` rather than to a path."""
        return "/" not in self.warehouse and "\\" not in self.warehouse and "." in self.warehouse

    @property
    def warehouse_location(self) -> str:
        """The warehouse as the engine needs it: an absolute path, a URL or `catalog.schema`."""
        if self.is_catalog_warehouse or "://" in self.warehouse:
            return self.warehouse.rstrip("/")
        return str((self.root / self.warehouse).resolve())

    def schedule_of(self, definition: Evaluated) -> Schedule | None:
        """Return when a definition is to be refreshed: its own schedule, or the project's; None: when asked."""
        return None if definition.type == "static" else definition.schedule or self.schedule

    def table_location(self, table: Table) -> str:
        """A table's location as the engine needs it: an absolute path, a URL or a catalog name."""
        if table.is_catalog or "://" in table.location:
            return table.location
        return str((self.root / table.location).resolve())


@dataclass(frozen=True)
class Schema:
    """The columns and types of every table, from `schema.lock.yml` and the project file."""

    columns: Mapping[str, Mapping[str, AttributeType]]
    stored: Mapping[str, Mapping[str, str]]
