"""What a server's answer says in its headers, and where it sends us: read warily, since servers get them wrong."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from datetime import UTC
from email.utils import parsedate_to_datetime


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to web addresses alone: the library's own would also leave for ftp."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not newurl.lower().startswith(("http://", "https://")):
            raise urllib.error.HTTPError(newurl, code, "it leads to another kind of address", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def continues(header: str | None, have: int) -> bool:
    """Whether a Content-Range begins after so many bytes."""
    return bool(header) and header.replace(" ", "").startswith(f"bytes{have}-")


def whole(header: str | None) -> int | None:
    """The file's whole size that a Content-Range states."""
    return number((header or "").rpartition("/")[2])


def number(text: str | None) -> int | None:
    """A count in a header, None where it is none."""
    return int(text) if text and re.fullmatch("[0-9]{1,18}", text) else None


def asked_to_wait(header: str | None) -> float:
    """The seconds of a Retry-After, which may also be a date; 0 where it says nothing."""
    if (seconds := number(header)) is not None:
        return float(seconds)
    try:
        when = parsedate_to_datetime(header or "")
        return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0
