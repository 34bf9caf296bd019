"""Where the package's data files are: launch files, configurations and interface definitions."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def share_dir() -> Path:
    """The folder that holds `launch/`, `config/` and `msg/`.

    In a checkout that is the repository's root, in a wheel `qeil_ros/share`, and in a ROS 2 workspace
    `<prefix>/share/qeil_ros`.

    Raises:
        FileNotFoundError: the files are in none of these places; the installation is incomplete.
    """
    tried = list(_candidates())
    for folder in tried:
        if (folder / "msg" / "FeatureFrame.msg").is_file() and (folder / "launch").is_dir():
            return folder
    raise FileNotFoundError(
        "qeil_ros: no launch/ and msg/ in any of "
        + ", ".join(str(folder) for folder in tried)
        + "; reinstall the package, or source the workspace that it was built in"
    )


def _candidates() -> list[Path]:
    checkout = [_PACKAGE.parent] if (_PACKAGE.parent / "package.xml").is_file() else []
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    ament = [Path(prefix) / "share" / "qeil_ros" for prefix in prefixes if prefix]
    # <prefix>/lib/pythonX.Y/site-packages/qeil_ros, in case the prefix is not in the environment.
    beside = [parent / "share" / "qeil_ros" for parent in list(_PACKAGE.parents)[2:5]]
    return [*checkout, _PACKAGE / "share", *ament, *beside]
