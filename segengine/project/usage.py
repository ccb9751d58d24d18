"""Who uses a definition: other definitions and registered outside consumers, directly or through others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segengine.project.catalogue import Catalogue


@dataclass(frozen=True)
class User:
    """A definition that uses another; `link`: where an outside consumer is found."""

    kind: str
    id: str
    name: str
    link: str = ""

    def __str__(self) -> str:
        """Return the user for messages: `segment "West coast"`."""
        return f'{self.kind} "{self.name}"'


@dataclass(frozen=True)
class UsageGraph:
    """Who uses what: the users of each segment and measure by its id, those that name it, sorted by name."""

    users: Mapping[str, tuple[User, ...]]

    def direct(self, identity: str) -> tuple[User, ...]:
        """Return who names a definition."""
        return self.users.get(identity, ())

    def indirect(self, identity: str) -> tuple[User, ...]:
        """Return who uses a definition through others only, nearest first."""
        found = {user.id: user for user in self.direct(identity)}
        near = set(found)
        waiting = list(found)
        while waiting:
            following = [user for user in self.direct(waiting.pop(0)) if user.id not in found]
            found |= {user.id: user for user in following}
            waiting += [user.id for user in following]
        return tuple(user for user in found.values() if user.id not in near and user.id != identity)

    def without(self, removed: Sequence[str]) -> UsageGraph:
        """Return the graph after some definitions are gone."""
        gone = set(removed)
        return UsageGraph(
            {key: tuple(user for user in found if user.id not in gone) for key, found in self.users.items()}
        )


def make_usage_graph(catalogue: Catalogue) -> UsageGraph:
    """Return who uses the segments and measures of a project."""
    users: dict[str, list[User]] = {}
    for definition in catalogue.evaluated.values():
        user = User(definition.kind, definition.id, definition.name)
        for parent in catalogue.parents(definition.id):
            users.setdefault(parent, []).append(user)
    for consumer in catalogue.consumers.values():
        for used in consumer.uses:
            users.setdefault(used, []).append(User("consumer", consumer.id, consumer.name, consumer.link))
    return UsageGraph({key: tuple(sorted(found, key=lambda user: user.name)) for key, found in users.items()})
