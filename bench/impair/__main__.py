"""`python -m bench.impair`: the proxy, obeying JSON lines on standard input. See `bench.impair.proxy`."""

import asyncio

from .proxy import serve

asyncio.run(serve())
