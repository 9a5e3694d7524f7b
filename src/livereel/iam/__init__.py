"""Projects, users, access keys, tokens, policies: who is it, and may they?

`signature`, `policies`, `passwords`, `secrets`, `tokens` and `lockout` hold rules without I/O (only the key file of
`secrets` is read from disk); `service` joins them with the catalogue. Nothing here knows HTTP frameworks, status codes
or JSON bodies. Start reading with `service`.
"""
