"""What `/openapi.json` says beyond what FastAPI finds out by itself: answers, refusals, credentials.

Requests are described by their models beside the routes; nothing is checked or decided here. Start reading with
`document`. A test sends generated requests and compares every answer with the document.
"""
