"""A bad network between two machines, made on one: a TCP proxy on loopback that delays, limits, loses, cuts.

`conditions` and `line` are pure and say when a byte arrives; `proxy` moves bytes and obeys commands on its
standard input (`python -m bench.impair`); `Impaired` runs one as a process and commands it.

Why not `tc netem` in a network namespace: it needs root, and a kernel that has netem; machines that run
tests rarely offer both. What the proxy cannot do is lose single IP packets: TCP would have sent them again,
so a loss is what TCP makes of one, a stall of everything behind it. The sender's congestion window does not
shrink on a loss; that favours whoever sends much.
"""

from .client import Impaired, ImpairError
from .conditions import Conditions
from .traces import delays_5g, opportunities

__all__ = ["Conditions", "ImpairError", "Impaired", "delays_5g", "opportunities"]
