"""Accounts and their contacts: who belongs to whom, and bits and values of accounts carried over to the contacts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segengine.engine.joins import BUCKET, bucket_of
from segengine.engine.parts import (
    CARRIED,
    CARRIED_VALUES,
    PARTS,
    BatchFunction,
    facts_part,
    make_part,
    unpack_rows,
)
from segengine.engine.sources import Sources, column
from segengine.kernel.carry import carry_bits, carry_values
from segengine.project.project_file import Audience, Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_NO_ACCOUNT = 0  # buckets of profiles count from 1
_NO_KEYS = np.zeros(0, dtype=np.int64)


def account_columns(settings: Settings, contacts: Audience) -> tuple[str, str]:
    """Return the stored columns of a contact table that hold the contact's id and its account's."""
    if contacts.account is None:
        raise ValueError(f"audience {contacts.name} has no account")
    table = settings.tables[contacts.table]
    return table.stored_name(table.key[0]), table.stored_name(contacts.account.relationship.from_columns[0])


def read_account_ids(sources: Sources, contacts: Audience) -> DataFrame:
    """Return `profile_id`, `account_id` of every contact as text; the account may be missing or unknown."""
    key, account = account_columns(sources.settings, contacts)
    return sources.read(contacts.table).select(
        column(key).cast("string").alias("profile_id"), column(account).cast("string").alias("account_id")
    )


@dataclass(frozen=True)
class Carried:
    """What is carried over: the `source` of each account segment and measure, in the order that the plan has them."""

    segments: tuple[str, ...]
    measures: tuple[str, ...]


def carry_over(
    sources: Sources,
    contacts: Audience,
    keys: DataFrame,
    account_keys: DataFrame,
    contents: DataFrame,
    carried: Carried,
    partitions: int,
) -> DataFrame:
    """Return what accounts are members of, and their values, as parts for the buckets of their contacts.

    Each contact meets its account in the account's bucket, where the snapshots of the account segments and measures are
    too; the outcome leaves for the contact's bucket. A contact whose account is missing, unknown or gone gets nothing.

    Args:
        sources: Where the contact table is read.
        contacts: The audience.
        keys: `profile_id`, `profile_key` of the contacts that count.
        account_keys: The same of the accounts.
        contents: `bucket`, `source`, `content` of the account segments and measures.
        carried: Which of them.
        partitions: Number of tasks that share the accounts' buckets.
    """
    from pyspark.sql import functions as F

    of_contact = keys.select(F.col("profile_id").alias("contact_id"), F.col("profile_key").alias("contact_key"))
    of_account = account_keys.select(F.col("profile_id").alias("its_id"), F.col("profile_key").alias("account_key"))
    ids = read_account_ids(sources, contacts)
    pairs = ids.join(of_contact, ids["profile_id"] == of_contact["contact_id"], "inner").join(
        of_account, ids["account_id"] == of_account["its_id"], "left"
    )
    bucket = F.coalesce(bucket_of("account_key"), F.lit(_NO_ACCOUNT))
    rows = pairs.select(
        bucket.alias(BUCKET),
        "contact_key",
        "account_key",
        F.lit(None).cast("string").alias("source"),
        F.lit(None).cast("binary").alias("content"),
    )
    no_key = F.lit(None).cast("bigint")
    known = contents.select(BUCKET, no_key.alias("contact_key"), no_key.alias("account_key"), "source", "content")
    together = rows.unionByName(known).repartition(partitions, BUCKET)
    return together.mapInArrow(make_carry_function(carried, facts_name(contacts)), PARTS)


def facts_name(contacts: Audience) -> str:
    """Return the name under which it is told how many contacts were looked at, and how many have no account."""
    return f"{contacts.account.audience if contacts.account else ''} of {contacts.table}"


def make_carry_function(carried: Carried, name: str) -> BatchFunction:
    """Return the function that carries bits and values over; it sees whole buckets of accounts, in any order."""
    numbers = {source: number for number, source in enumerate(carried.segments)}

    def carry(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        members: dict[int, dict[int, pa.Buffer]] = {}
        found: dict[int, dict[str, pa.Array]] = {}
        accounts, contacts, orphan_count = [_NO_KEYS], [_NO_KEYS], 0
        for batch in batches:
            buckets, contact_keys, account_keys, sources, contents = batch.columns
            for row in np.flatnonzero(sources.is_valid().to_numpy(zero_copy_only=False)).tolist():
                bucket, source, content = buckets[row].as_py(), sources[row].as_py(), contents[row].as_buffer()
                if source in numbers:
                    members.setdefault(bucket, {})[numbers[source]] = content
                elif source in carried.measures:
                    found.setdefault(bucket, {})[source] = unpack_rows(content).column(0)
            has_account = account_keys.is_valid()
            orphan_count += pc.sum(pc.and_(contact_keys.is_valid(), pc.invert(has_account))).as_py() or 0
            accounts.append(account_keys.filter(has_account).to_numpy(zero_copy_only=False))
            contacts.append(contact_keys.filter(has_account).to_numpy(zero_copy_only=False))
        of_accounts, of_contacts = np.concatenate(accounts), np.concatenate(contacts)
        if len(of_accounts) + orphan_count:
            yield facts_part(name, len(of_accounts) + orphan_count, orphan_count)
        for bucket, blob in carry_bits(members, len(numbers), of_accounts, of_contacts):
            yield make_part(bucket, CARRIED, pa.py_buffer(blob))
        values = {bucket: [own[source] for source in carried.measures] for bucket, own in found.items()}
        for bucket, rows in carry_values(values, of_accounts, of_contacts):
            yield make_part(bucket, CARRIED_VALUES, rows)

    return carry
