"""What an object store's answers mean and what to do about them. Works on the words of the client library's errors."""

import re
from collections.abc import Iterable
from html import unescape

_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,200})")
_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]{0,40})")
_URL = re.compile(r"(https?://[^\s?\"',]+)(\?[^\s\"',]*)?")

_CREDENTIALS = "check the credentials of this bucket"
_RENEW = (
    "put new credentials into credentials_file of this bucket (no restart needed), or into the environment and restart"
)
_CLOCK = "the clocks of this machine and of the store differ: set this machine's by a time service"
_BUCKET = "there is no such bucket: create it, or correct url, endpoint and region of this bucket"
_RIGHTS = "this key may not do that: allow it to read, write and delete objects of this bucket"
_REGION = "region or endpoint of this bucket is another one: correct them"

#: By error code of S3, OBS, GCS (XML) and Azure.
_ADVICE = {
    "InvalidAccessKeyId": f"the store does not know the access key: {_CREDENTIALS}",
    "SignatureDoesNotMatch": f"the secret key is not that of the access key, or the region is wrong: {_CREDENTIALS}",
    "ExpiredToken": f"the session token has expired: {_RENEW}",
    "ExpiredTokenException": f"the session token has expired: {_RENEW}",
    "InvalidToken": f"the session token is not valid: {_CREDENTIALS}",
    "AuthenticationFailed": f"the store does not accept the credentials: {_CREDENTIALS}, and this machine's clock",
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "AccessDenied": _RIGHTS,
    "AuthorizationFailure": _RIGHTS,
    "AuthorizationPermissionMismatch": _RIGHTS,
    "NoSuchBucket": _BUCKET,
    "ContainerNotFound": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "VirtualHostDomainRequired": "the store wants the bucket in the host name: set virtual_hosted of this bucket",
    "EntityTooLarge": "the store does not take objects that large",
    "QuotaExceeded": "the store's quota is used up: make room or have it raised",
    "InsufficientStorageSpace": "the store's quota is used up: make room or have it raised",
}
_BY_STATUS = {
    "301": _REGION,
    # Answers to look-ups have no body, so no code either.
    "400": f"the store does not take the request; if a session token has expired, {_RENEW}",
    "401": f"the store does not accept the credentials: {_CREDENTIALS}",
    "403": f"the store refuses: {_CREDENTIALS}, what it allows, and this machine's clock",
    "404": _BUCKET,
    "507": "the store has no space left",
}
#: By what the library says of requests that got no answer; the first that is there counts.
_UNANSWERED = (
    ("kind: Timeout", "no answer in time: look whether the store is up and the network to it works"),
    ("dns error", "the host name cannot be resolved: correct the endpoint, or look at this machine's DNS"),
    ("certificate", "its TLS certificate is not trusted: set certificate_file of this bucket, or correct the endpoint"),
    ("kind: Connect", "no connection: look whether the store is up, and correct the endpoint if it is elsewhere"),
    ("error sending request", "the connection broke"),
)
# Where the library looks for the role of the machine when a bucket has no credentials of its own.
_METADATA = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
_NO_CREDENTIALS = (
    "no credentials, and this machine has no role that gives it any: set credentials_file or credentials_env of this "
    "bucket"
)


def code(error: str) -> str:
    """The store's code for an error, as `NoSuchUpload`; empty if it gave none."""
    found = _CODE.search(error)
    return found[1] if found else ""


def may_be_of_credentials(error: str) -> bool:
    """Whether other credentials might have been taken; stores are not of one mind about what they answer then."""
    status = _STATUS.search(error)
    return status is not None and status[1][:3] in ("400", "401", "403")


def reason(error: str, secrets: Iterable[str] = ()) -> str:
    """Why a request failed and what to do, in one line without any of `secrets` and without query strings."""
    said = error.partition("\n\nDebug source")[0]
    code, message, status = _CODE.search(error), _MESSAGE.search(said), _STATUS.search(said)
    if any(host in said for host in _METADATA):
        return _NO_CREDENTIALS
    if code and (advice := _ADVICE.get(code[1])):
        text = f"{code[1]}: {advice}"
    elif code:
        text = f"{code[1]}{f' ({unescape(message[1]).strip()})' if message else ''}"
    elif status:
        advice = _BY_STATUS.get(status[1][:3], "the store is not in order; look at its own log")
        text = f"answer {status[1].strip()}: {advice}"
    else:
        text = next((advice for mark, advice in _UNANSWERED if mark in error), said.strip().partition("\n")[0])
    if (url := _URL.search(said)) and not code and not status:
        text = f"{text} ({url[1]})"
    return redacted(text, secrets)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """`text` without secrets and without what follows a `?` in URLs, which may be signatures."""
    text = _URL.sub(r"\1", text)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
