"""What people are told of an object store's answers."""

import pytest

from livereel.storage.refusals import may_be_of_credentials, reason, redacted

ANSWERED = (
    "The operation failed for path x: Error performing PUT https://store.example.com/b/x in 2ms - Server returned "
    "non-2xx status code: {status}: {body}\n\nDebug source:\nPermissionDenied {{ ... }}"
)
UNANSWERED = (
    "Generic S3 error: Error performing PUT https://store.example.com/b/x?sig=abc in 5s - HTTP error: error sending "
    "request\n\nDebug source:\nGeneric {{ inner: Http( HttpError {{ {cause} }} ) }}"
)


def answered(status: str, code: str = "", message: str = "Something") -> str:
    body = f"<?xml?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else ""
    return ANSWERED.format(status=status, body=body)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (answered("403 Forbidden", "InvalidAccessKeyId"), "does not know the access key: check the credentials"),
        (answered("403 Forbidden", "SignatureDoesNotMatch"), "the secret key is not that of the access key"),
        (answered("403 Forbidden", "RequestTimeTooSkewed"), "the clocks of this machine and of the store differ"),
        (answered("403 Forbidden", "AccessDenied"), "allow it to read, write and delete objects"),
        (answered("400 Bad Request", "ExpiredToken"), "the session token has expired"),
        (answered("404 Not Found", "NoSuchBucket"), "there is no such bucket: create it"),
        (answered("404 Not Found", "ContainerNotFound"), "there is no such bucket: create it"),
        (answered("403 Forbidden", "VirtualHostDomainRequired"), "set virtual_hosted"),
        (answered("418 I am", "Unheard.Of", "tea &amp; cake"), "Unheard.Of (tea & cake)"),
        (answered("403 Forbidden"), "answer 403 Forbidden: the store refuses: check the credentials"),
        (answered("500 Internal Server Error"), "answer 500 Internal Server Error: the store is not in order"),
        (UNANSWERED.format(cause="kind: Timeout"), "no answer in time"),
        (UNANSWERED.format(cause='kind: Connect, "dns error"'), "the host name cannot be resolved"),
        (UNANSWERED.format(cause="kind: Connect, certificate: UnknownIssuer"), "set certificate_file"),
        (UNANSWERED.format(cause="kind: Connect, ConnectionRefused"), "no connection: look whether the store is up"),
        (UNANSWERED.format(cause="kind: Interrupted"), "the connection broke (https://store.example.com/b/x)"),
        (
            "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 1s - Server returned "
            "non-2xx status code: 403 Forbidden",
            "no credentials, and this machine has no role",
        ),
        ("something new\nand more", "something new"),
    ],
)
def test_one_line_that_says_what_to_do(error: str, told: str) -> None:
    said = reason(error)
    assert told in said
    assert "\n" not in said
    assert "sig=abc" not in said


def test_secrets_are_taken_out() -> None:
    assert reason("cannot use key s3cr3t here", ["s3cr3t"]) == "cannot use key *** here"
    assert redacted("see https://a.example/x?sig=1&se=2 there", []) == "see https://a.example/x there"


@pytest.mark.parametrize(
    ("error", "may"),
    [
        ("Client error with status code: 400 Bad Request\n\n<Error><Code>ExpiredToken</Code></Error>", True),
        ("Client error with status code: 403 Forbidden\n\n<Error><Code>ExpiredToken</Code></Error>", True),
        ("Client error with status code: 403 Forbidden", True),  # the answer to a HEAD
        ("Client error with status code: 401 Unauthorized", True),
        ("Server error with status code: 503 Service Unavailable", False),
        ("error sending request: kind: Timeout", False),
    ],
)
def test_what_other_credentials_might_help_against(error: str, may: bool) -> None:
    assert may_be_of_credentials(error) is may
    if "ExpiredToken" in error:
        assert "put new credentials into credentials_file" in reason(error)
