"""Outgoing messages: payloads, signatures, the outbox dispatcher and the guard against forged targets.

A message is a row of the outbox, written in the transaction of what it tells about; the dispatcher delivers it at least
once, in order within its channel. Whoever writes one calls `Dispatcher.notify()` after the commit.

Start reading with `dispatcher`; `schedule` and `lanes` are its pure parts, `sender` and `guard` its way out. Only this
package speaks HTTP to other people's servers (aiohttp lives here); nothing here decides what is worth telling.
"""
