"""The YAML files of the demo projects: found beside the package or inside the wheel, copied for a user."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import segengine
from segengine.errors import ConfigError

PROJECT_FILE: Final = "segengine.yml"


def project_files(name: str) -> Path:
    """Return the folder with the project file and the definitions of a demo project.

    A wheel carries them in the package (segengine/conf), a checkout has them beside it (conf).

    Raises: ConfigError if there is no such project.
    """
    homes = conf_folders()
    for home in homes:
        if (home / name / PROJECT_FILE).is_file():
            return home / name
    found = sorted({file.parent.name for home in homes for file in home.glob(f"*/{PROJECT_FILE}")})
    raise ConfigError(f'There is no demo project "{name}".', f"There are: {', '.join(found) or 'none'}.")


def copy_project(name: str, folder: Path) -> None:
    """Copy the files of a demo project into a new or empty folder.

    Raises: ConfigError if there is no such project, or the folder has something in it.
    """
    source = project_files(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder.resolve()} is not empty.", "Name a new folder.")
    # Only what is written by hand: a project used in place has data and results beside it.
    for file in [*sorted(source.glob("*.yml")), *sorted((source / "definitions").rglob("*.yml"))]:
        target = folder / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def conf_folders() -> list[Path]:
    """Return the folders in which demo projects are looked for, first come first served."""
    package = Path(segengine.__file__).parent
    return [package / "conf", package.parent / "conf"]
