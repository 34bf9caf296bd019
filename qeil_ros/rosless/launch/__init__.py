"""Launch files without ROS: reads the XML files that `ros2 launch` reads, and runs the processes that they
ask for.

Reading (`parse`) is pure: a file, arguments and an environment give a `LaunchDescription`. Running it
(`Launcher`) is
the only part that touches the machine. Nothing in here knows rclpy, Zenoh or the packages that it launches:
where packages live is told by the caller (`Packages`).
"""

from .description import InlineFile, LaunchDescription, LaunchError, LogMessage, ProcessSpec, ShutdownRequest
from .launcher import Launcher
from .packages import Packages
from .process_handle import Process
from .reader import Argument, declared_arguments, parse

__all__ = [
    "Argument",
    "InlineFile",
    "LaunchDescription",
    "LaunchError",
    "Launcher",
    "LogMessage",
    "Packages",
    "Process",
    "ProcessSpec",
    "ShutdownRequest",
    "declared_arguments",
    "parse",
]
