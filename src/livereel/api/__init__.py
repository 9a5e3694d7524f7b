"""HTTP: authentication, the Huawei-compatible operations, downloads, health.

A request passes `envelope` (request id, limits, log, metrics), then `auth.middleware` (who is it, may they, was it
seen before), then FastAPI's routes: `huawei.routes`, `v3`, `files`, `health`. Routes translate and call `control`;
rules about recordings do not live here. Only this package imports FastAPI. Start reading with `app`, then
`huawei.operations`.
"""
