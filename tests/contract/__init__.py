"""The API as applications see it: every operation through the official SDK against a real server process.

A test says which operations it is about (`@pytest.mark.operations`), and the client of the tests (`client.Contract`)
holds it to that. test_operations.py compares with the list of all operations, test_errors.py with that of all errors.
"""
