"""The Huawei Cloud Live operations: `operations` (what there is, and its permissions), `requests` and `replies` (JSON),
`routes`, `errors` (wire codes).

Source of every member, status and code: Huawei Cloud Live API Reference.
"""
