"""What must not stand in a report: passwords and signatures in addresses, and in what libraries say of them."""

from __future__ import annotations

import re

_WORDS = r"[\w-]*(?:key|token|secret|passw|credential|sig|signature|x-amz-|x-goog-|auth)[\w-]*="
_QUERY = re.compile(rf"[?&;]{_WORDS}", re.IGNORECASE)
_TEXTS = (
    re.compile(rf"({_WORDS})[^\s&\"',;<>)]+", re.IGNORECASE),
    re.compile(r"((?:authorization|token|secret|password)[\"']?: *[\"']?)(?:bearer |basic )?[^\s\"',;<>)]+", re.I),
    re.compile(r"(\bbearer )\S+", re.IGNORECASE),
    re.compile(r"(://)[^/\s]+(?=@)"),
)


def held(protocol: str, rest: str) -> bool:
    """Whether an address, `protocol://rest`, holds a password, a token or a signature."""
    user, _, _ = rest.partition("/")[0].rpartition("@")
    named = protocol == "github" and user.count(":") == 1  # github://owner:repository@branch
    return bool(_QUERY.search(rest)) or (not named and (":" in user or (bool(user) and protocol in ("http", "https"))))


def cut(text: str) -> str:
    """The text without such."""
    for secret in _TEXTS:
        text = secret.sub(r"\1…", text)
    return text
