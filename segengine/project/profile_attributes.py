"""Finding an attribute of the profiles by the name rules have for it, in whichever audience has it."""

from __future__ import annotations

from segengine.errors import ConfigError
from segengine.project.attributes import Attribute
from segengine.project.paths import Unresolved, find_attribute, find_hop, hop_names
from segengine.project.problems import did_you_mean
from segengine.project.project_file import Schema, Settings
from segengine.project.types import Family

_SEE = "`segengine schema show` lists what there is."


def find_profile_attribute(settings: Settings, schema: Schema, name: str, audience: str = "") -> tuple[str, Attribute]:
    """Return the audience and the attribute a name means: `state`, `home_store.city`, `churn.score`.

    Args:
        settings: The project.
        schema: Its columns.
        name: The attribute as a rule on the profile has it.
        audience: Whose profiles; '': the project's only audience, or the only one that has the attribute.

    Raises:
        ConfigError: No audience has it, or several have.
    """
    if audience and audience not in settings.audiences:
        raise ConfigError(f'There is no audience "{audience}".', did_you_mean(audience, settings.audiences))
    names = [audience] if audience else list(settings.audiences)
    found = {one: find_attribute(settings, schema, settings.audiences[one].table, name) for one in names}
    good = [(one, attribute) for one, attribute in found.items() if isinstance(attribute, Attribute)]
    if len(good) > 1:
        several = " and ".join(f'"{one}"' for one, _ in good)
        hint = f"Say which with --audience {' or --audience '.join(one for one, _ in good)}."
        raise ConfigError(f'"{name}" is an attribute of the audiences {several}.', hint)
    if good:
        return good[0]
    failed = [(one, reason) for one, reason in found.items() if isinstance(reason, Unresolved)]
    one, reason = next((item for item in failed if item[1].hint.startswith("Did you mean")), failed[0])
    message = reason.message or f'The columns of table "{settings.audiences[one].table}" are not known.'
    hint = reason.hint if reason.code == "SEG209" else f"{reason.hint} {_SEE}".strip()
    raise ConfigError(message[0].upper() + message[1:], hint)


def list_profile_attributes(
    settings: Settings, schema: Schema, audience: str, *, predictions: bool = False
) -> dict[str, Attribute]:
    """Return the attributes of an audience's profiles by name, those of their look-ups included.

    Args:
        settings: The project.
        schema: Its columns.
        audience: Whose profiles.
        predictions: Only those of prediction tables, without the keys.
    """
    base = settings.audiences[audience].table
    tables = {"": base, **{f"{hop}.": _target(settings, base, hop) for hop in hop_names(settings, base)}}
    found: dict[str, Attribute] = {}
    for prefix, table in tables.items():
        if predictions and not settings.tables[table].prediction:
            continue
        for column, type_ in schema.columns.get(table, {}).items():
            is_key = predictions and column in settings.tables[table].key
            attribute = find_attribute(settings, schema, base, f"{prefix}{column}")
            if type_.family is not Family.UNSUPPORTED and not is_key and isinstance(attribute, Attribute):
                found[f"{prefix}{column}"] = attribute
    return found


def _target(settings: Settings, base: str, name: str) -> str:
    hop = find_hop(settings, base, name)
    return hop.target if hop else base
