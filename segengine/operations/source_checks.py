"""Checking sources before anything is read: there, as the lock says, with unique keys and no missing ids.

All that a run reads is checked at once. Only where that fails, or what is read fails later, each thing is checked
alone, to tell whom it fails: the others are evaluated all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import chain

from segengine.engine.accounts import account_columns
from segengine.engine.attachments import attachment_scan
from segengine.engine.features import feature_scan
from segengine.engine.joins import ScanRows, columns_by_table
from segengine.engine.sources import Sources, check_against_lock
from segengine.engine.uniqueness import Key, check_keys
from segengine.errors import DataContractError, RunError
from segengine.plan.audiences import is_modelled, plan_run
from segengine.plan.refresh import AudiencePlan
from segengine.project.analysis import Evaluated
from segengine.project.attributes import Attribute
from segengine.project.catalogue import Catalogue
from segengine.project.model import Segment
from segengine.project.project_file import Schema, Settings
from segengine.project.source_fields import find_rule_fields
from segengine.project.types import instant_of
from segengine.project.walk import model_attributes, reads_profiles


@dataclass(frozen=True)
class SourceUse:
    """What definitions read: stored columns by table, keys that must be unique, and whose profiles."""

    columns: Mapping[str, set[str]]
    keys: frozenset[Key]
    audiences: frozenset[str]


def find_source_use(definitions: Mapping[str, Evaluated], catalogue: Catalogue, as_of: datetime) -> SourceUse:
    """Return what definitions read of the sources; `definitions`: by id, parents first."""
    return find_use_of_plans(definitions, plan_run(definitions, catalogue, instant_of(as_of)), catalogue)


def find_use_of_plans(
    definitions: Mapping[str, Evaluated], plans: Sequence[AudiencePlan], catalogue: Catalogue
) -> SourceUse:
    """Return what definitions read of the sources; `plans`: those of all their rules and values."""
    settings = catalogue.settings
    segments = [definition for definition in definitions.values() if isinstance(definition, Segment)]
    scans = [scan for plan in plans for scan in plan.table_scans.values()]
    scans += [attachment_scan(segment.audience, item) for segment in segments for item in segment.attach]
    modelled = [each for each in definitions.values() if is_modelled(each) and reads_profiles(each)]
    scans += [feature_scan(each.audience, _feature_attributes(each, catalogue), settings) for each in modelled]
    rows = [ScanRows(scan, settings, catalogue.schema) for scan in scans]
    columns = columns_by_table(rows)
    keys = {key for each in rows for key in each.unique_keys()}
    audiences = {plan.audience for plan in plans} | {definition.audience for definition in modelled}
    for plan in plans:
        contacts, accounts = settings.audiences[plan.audience], settings.account_of(plan.audience)
        if plan.asks_accounts and accounts:
            account_table = settings.tables[accounts.table]
            account_key = account_table.stored_name(account_table.key[0])
            columns.setdefault(contacts.table, set()).update(account_columns(settings, contacts))
            columns.setdefault(accounts.table, set()).add(account_key)
            keys.add((accounts.table, (account_key,)))
            audiences.add(accounts.name)
    return SourceUse(columns, frozenset(keys), frozenset(audiences))


def _feature_attributes(definition: Evaluated, catalogue: Catalogue) -> list[Attribute]:
    """Return the attributes of the profiles that a model sees, of an expansion those of its source's rule too."""
    found = model_attributes(definition)
    if isinstance(definition, Segment) and definition.expansion:
        found += find_rule_fields(catalogue, definition.expansion.source).attributes
    return [attribute for attribute in found if not attribute.measure]


def check_sources(sources: Sources, schema: Schema, use: SourceUse) -> dict[str, int]:
    """Check pinned sources for what is read of them, and return the number of profiles of each audience.

    Raises:
        DataContractError: A source is not as the project says.
        RunError: The engine failed.
    """
    check_against_lock(sources, schema, use.columns)
    audiences = sorted(use.audiences)
    counts = check_keys(sources, use.keys, [_profile_key(sources.settings, audience) for audience in audiences])
    return dict(zip(audiences, counts, strict=True))


def _profile_key(settings: Settings, audience: str) -> Key:
    table = settings.tables[settings.audiences[audience].table]
    return table.name, (table.stored_name(table.key[0]),)


def find_failures(
    definitions: Mapping[str, Evaluated],
    catalogue: Catalogue,
    as_of: datetime,
    open_sources: Callable[[Iterable[str]], Sources],
) -> dict[str, str]:
    """Return the definitions that their own sources fail, by id, and why.

    Args:
        definitions: What is to be evaluated by id, parents first.
        catalogue: All definitions of the project.
        as_of: The instant of the run.
        open_sources: Returns tables as the run reads them.
    """
    settings, schema = catalogue.settings, catalogue.schema

    @cache
    def pin(table: str) -> Sources:
        return open_sources({table})

    def check_column(table: str, name: str) -> None:
        check_against_lock(pin(table), schema, {table: {name}})

    def check_key(table: str, names: tuple[str, ...]) -> None:
        check_keys(pin(table), [(table, names)])

    def check_profiles(audience: str) -> None:
        check_keys(pin(settings.audiences[audience].table), [], [_profile_key(settings, audience)])

    of_table, of_column = _problem(pin), _problem(check_column)
    of_key, of_profiles = _problem(check_key), _problem(check_profiles)

    def find_problem(use: SourceUse) -> str:
        problems = chain(
            (of_table(table) for table in sorted(use.columns)),
            (of_column(table, name) for table, names in sorted(use.columns.items()) for name in sorted(names)),
            (of_key(*key) for key in sorted(use.keys)),
            (of_profiles(audience) for audience in sorted(use.audiences)),
        )
        return next(filter(None, problems), "")

    uses = {key: find_source_use({key: definition}, catalogue, as_of) for key, definition in definitions.items()}
    return {key: found for key, use in uses.items() if (found := find_problem(use))}


def find_culprits(definitions: Mapping[str, Evaluated], attempt: Callable[[Sequence[str]], str]) -> dict[str, str]:
    """Return the definitions of a group that fail when they are tried, by id, and why; by halves.

    Where both halves fail for the same reason it is taken for what all of them share: a table that cannot be read.

    Args:
        definitions: The group by id.
        attempt: Tries some of them, and returns why that fails, or ''.
    """

    def search(ids: Sequence[str], reason: str) -> dict[str, str]:
        if len(ids) == 1:
            return {ids[0]: reason}
        halves = (ids[: len(ids) // 2], ids[len(ids) // 2 :])
        reasons = [attempt(half) for half in halves]
        if not any(reasons) or reasons == [reason, reason]:
            return dict.fromkeys(ids, reason)
        found = [search(half, own) for half, own in zip(halves, reasons, strict=True) if own]
        return {identity: own for each in found for identity, own in each.items()}

    ids = list(definitions)
    reason = attempt(ids)
    return search(ids, reason) if reason else {}


def _problem(check: Callable[..., object]) -> Callable[..., str]:
    """Return a function that says why a check fails, '' where it does not; each thing is checked once."""

    @cache
    def find(*what: object) -> str:
        try:
            check(*what)
        except (DataContractError, RunError) as error:
            return error.message
        return ""

    return find
