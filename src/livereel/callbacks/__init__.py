"""Outgoing messages: payloads, signatures, the outbox dispatcher and the guard against forged targets."""
