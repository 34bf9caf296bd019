"""Run a vision model that is too heavy for the robot half on it and half off it.

The package's rooms: `codec` (arrays <-> bitstream), `models` (split models), `planning` (operating points),
`platform` (what the machine can tell), `safety` (limits and fallbacks), `nodes` (the ROS 2 nodes),
`rosless` (the same nodes without ROS 2 installed) and `cli` (the `qeil` command).
Importing the package itself stays cheap: no model runtime, no transport, no ROS.
"""

from pkgutil import extend_path

# In a ROS 2 workspace the interfaces generated from msg/ live in an installed folder of the same name. A
# Python that was started in the repository finds this folder first; extending the path lets `qeil_ros.msg`
# be found in the other.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
