"""Python's collector of cyclic garbage, kept from stopping the server.

A full collection looks at every object there is, among them every tag in every key-frame ring: with 500 streams that
takes 160 ms in which nothing is answered, and left alone it comes every two seconds, since tags come and go. Nearly all
garbage dies by reference count or young.
"""

import asyncio
import contextlib
import gc
from collections.abc import Iterator

# Objects made and not freed before the young are looked at. A pass over many publishers makes tens of thousands of
# tags that are gone or settled at its end.
YOUNG = 50_000
MIDDLE = 20
# Full collections come by the clock and never by count.
NEVER = 1_000_000_000
FULL_PERIOD = 600.0  # seconds; what old garbage gathers in this time is little


@contextlib.contextmanager
def collected_rarely() -> Iterator[None]:
    """Set the collector up for a server that has started; needs a running event loop. Afterwards it is as before."""
    loop = asyncio.get_running_loop()
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()  # modules, routes and models stay as long as the server does
    gc.set_threshold(YOUNG, MIDDLE, NEVER)

    def collect() -> None:
        gc.collect()
        timers[0] = loop.call_later(FULL_PERIOD, collect)

    timers = [loop.call_later(FULL_PERIOD, collect)]
    try:
        yield
    finally:
        timers[0].cancel()
        gc.set_threshold(*before)
        gc.unfreeze()
