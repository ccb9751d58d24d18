"""Where executions of models are recorded: `mlflow` in the project file."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from segengine.project.nodes import Fields, Node
from segengine.project.problems import Problems

TRACKING_FIELDS = ("tracking_uri", "experiment", "registered_model")
SERVERS = ("http", "https", "databricks")
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SECRETS = {"password", "passwd", "pwd", "token"}


@dataclass(frozen=True)
class Tracking:
    """What the project says of MLflow; '' where it says nothing.

    `registered_model`: the name under which models of similar customers are registered, `{id}` in it their
    definition's id.
    """

    uri: str = ""
    experiment: str = ""
    registered_model: str = ""

    def model_name(self, definition_id: str) -> str:
        """Return the name to register a definition's model under, or '' where none is to be."""
        return self.registered_model.replace("{id}", definition_id)


NO_TRACKING_SETTINGS = Tracking()


def scheme_of(uri: str) -> str:
    """Return the kind of store behind an address: `postgresql` of `postgresql+psycopg2://...`."""
    return uri.partition(":")[0].partition("+")[0].lower()


def read_tracking(node: Node | None, problems: Problems) -> Tracking:
    """Return what `mlflow` says; what is wrong is reported."""
    fields = problems.fields(node, "mlflow", TRACKING_FIELDS, "SEG101")
    if fields is None:
        return NO_TRACKING_SETTINGS
    uri = problems.text(fields.get("tracking_uri"), "tracking_uri") or ""
    message, hint = _find_uri_fault(uri) if uri else ("", "")
    if message:
        problems.add(fields.key_place("tracking_uri"), "SEG102", f"tracking_uri {message}.", hint)
    experiment = problems.text(fields.get("experiment"), "experiment") or ""
    return Tracking(uri, experiment, _read_model_name(fields, problems))


def _find_uri_fault(uri: str) -> tuple[str, str]:
    """Return what is wrong with an address and a hint, or two empty texts; the address itself may hold a secret."""
    scheme = scheme_of(uri)
    if scheme == "databricks":
        return "", ""
    if "://" not in uri or scheme not in SERVERS + DATABASES:
        known = ", ".join(SERVERS + DATABASES)
        return f"is of none of the known kinds: {known}", "Examples: https://mlflow.example.com, sqlite:///mlruns.db."
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 # raises where it is no number
    except ValueError:
        return "is no address", "Example: https://mlflow.example.com:5000."
    if parts.password is not None or _SECRETS & {key.lower() for key in parse_qs(parts.query)}:
        return "has a secret in it", (
            "Set it in the environment: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or _TOKEN) for a "
            "server, the whole MLFLOW_TRACKING_URI for a database."
        )
    if scheme == "sqlite":
        has_file = not parts.netloc and parts.path.strip("/") not in ("", ":memory:")
        return ("", "") if has_file else ("names no file", "Example: sqlite:///mlruns.db, beside the project file.")
    return ("", "") if parts.hostname else ("names no host", "Example: https://mlflow.example.com.")


def _read_model_name(fields: Fields, problems: Problems) -> str:
    name = problems.text(fields.get("registered_model"), "registered_model") or ""
    place = fields.key_place("registered_model")
    example = 'Example: "segengine.{id}".'
    if name and "{id}" not in name:
        message = f"registered_model {name!r} has no {{id}}: models of all definitions would be versions of one."
        problems.add(place, "SEG102", message, example)
    elif any(sign in name for sign in "/:"):
        problems.add(place, "SEG102", f"registered_model {name!r} has a / or :, which no model's name has.", example)
    return name
