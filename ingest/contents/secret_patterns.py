"""What a secret looks like: the built-in kinds that `--redact` masks.

The shapes of keys are those that their issuers document or that secret scanners publish (gitleaks' and detect-secrets'
rules, read November 2026). Every pattern takes time linear in the text: what repeats is bounded or possessive, and a
token is tried at its beginning only.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

Replace = Callable[[re.Match[str]], str]


class Kind(NamedTuple):
    """A name, a pattern, and the text in place of a match; a text without any of the `signs` is not searched."""

    name: str
    pattern: re.Pattern[str]
    replace: str | Replace
    signs: tuple[str, ...] = ()


# a secret's prefix says what it is; the first characters are tried at the beginning of a word only
_PREFIXED: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:sk|pk|rk|ak|key|sess|whsec|api|secret|ntn)[-_][\w-]{16,}+"  # OpenAI, Anthropic, Stripe, OpenRouter, Langfuse
    r"|(?:sk|pk|rk)_(?:live|test)_\w{10,}+"  # Stripe
    r"|gh[a-z]_\w{16,}+|github_pat_\w{20,}+|gl[a-z]{1,5}-[\w-]{16,}+"  # GitHub, GitLab
    r"|xox[a-z]-[\w-]{10,}+|xapp-\d-[\w-]{10,}+|xwfp-[\w-]{10,}+"  # Slack
    r"|(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16,}+"  # AWS
    r"|AIza[\w-]{20,}+|ya29\.[\w.-]{20,}+|GOCSPX-[\w-]{16,}+|1//0[\w-]{20,}+"  # Google
    r"|[\w~.-]{3}\dQ~[\w~.-]{31,34}"  # Microsoft Entra
    r"|hf_\w{16,}+|gsk_\w{20,}+|xai-\w{20,}+|r8_\w{20,}+|pplx-\w{20,}+|fw_\w{20,}+|nvapi-[\w-]{20,}+|tgp_v1_[\w-]{20,}+"
    r"|lsv2_\w{20,}+|ls__\w{20,}+|ph[cxs]_\w{20,}+|jina_\w{20,}+|tvly-[\w-]{16,}+|pcsk_\w{20,}+|e2b_\w{20,}+"
    r"|npm_\w{20,}+|pypi-[\w-]{20,}+|rubygems_\w{20,}+|dckr_(?:pat|oat)_[\w-]{20,}+|figd_[\w-]{20,}+"
    r"|do[opr]_v1_\w{32,}+|dapi[a-f0-9]{32,}+|SG\.[\w-]{16,}+\.[\w-]{16,}+|(?:SK|AC)[a-f0-9]{32}(?![\w-])"
    r"|shp[a-z]{2}_\w{20,}+|sq0[a-z]{3}-[\w-]{20,}+|EAAA[\w-]{40,}+|EAACEdEose0cBA\w{20,}+|NRAK-[A-Z0-9]{20,}+"
    r"|gl(?:c|sa)_[\w+/=]{20,}+|hv[sb]\.[\w-]{20,}+|lin_api_\w{20,}+|pat[A-Za-z0-9]{14}\.[a-f0-9]{32,}+"
    r"|dp\.[a-z]{2,6}\.\w{20,}+|sha256~[\w-]{40,}+|sntry[su]_[\w=+/-]{20,}+|tskey-[a-z]{1,10}-[\w-]{10,}+"
    r"|sb[a-z]_[\w-]{20,}+|AKCp\w{40,}+|pscale_[a-z]{2,6}_[\w.=-]{20,}+|pul-[a-f0-9]{32,}+|ATATT3[\w=-]{20,}+"
    r"|HRKU-[\w-]{20,}+|[a-z0-9]{14}\.atlasv1\.[\w=-]{40,}+|sl\.[\w-]{60,}+|v1\.0-[a-f0-9]{24}-[a-f0-9]{40,}+"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{40,}+|\d{8,10}:AA[\w-]{30,}+|[a-f0-9]{32}-us\d{1,2}(?!\w)"
    r")"
)
_WORD = r"[\w\-.~+/=:]{14,}+"  # what may hold such a key; most words of a text are shorter

_NAMES = (
    r"passwords?|passwd|pwd|passphrase|secrets?|credentials?|api[_\- ]?keys?|access[_\- ]?keys?|account[_\- ]?key"
    r"|private[_\- ]?keys?|(?:auth|access|refresh|id|bearer|session|bot)[_\- ]?tokens?|client[_\- ]?secret|x-api-key"
)
SECRET_NAME: Final = re.compile(rf"(?i)(?:^|.*[_\-. ]|.*[a-z])(?:{_NAMES}|authorization|set-cookie|cookie)\Z")
_ASSIGNED = re.compile(
    rf"(?i)((?:{_NAMES}|[?&](?:token|key|sig|signature|code)|\bsig)(?:\\{{0,4}}[\"']\]?)?\s{{0,4}}(?::=|=>|[:=])\s{{0,4}})"
    r"(?:(\\{0,4}[\"'])(?!\[redacted)([^\"'\\\n]{1,400})|(?!\[redacted)([^\s\"'\\,;&<>(){}\[\]]{4,400}))"
)


def _in_words(found: re.Match[str]) -> str:
    return _PREFIXED.sub("[redacted:api-key]", found.group())


def _assigned(found: re.Match[str]) -> str:
    before, quote, quoted, bare = found.groups()
    if quoted is not None:
        return f"{before}{quote}[redacted:secret]"
    certain = before[0] in "?&" or re.match(r"(?i)pass|pwd|sig", before) is not None
    if not certain and (len(bare) < 8 or not any(mark.isdigit() for mark in bare)):
        return found.group()  # prose, or the name of a variable
    return f"{before}[redacted:secret]"


def _basic(found: re.Match[str]) -> str:
    """HTTP's basic authentication, if it decodes to `user:password`; other words follow `basic` too."""
    value = found.group(2)
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return found.group()
    return f"{found.group(1)}[redacted:basic]" if b":" in decoded else found.group()


def _aws_secret(found: re.Match[str]) -> str:
    """Forty characters of base64 that look random: cases and digits mixed, over 4.2 bits a character."""
    text = found.group()
    mixed = any(mark.isupper() for mark in text) and any(mark.islower() for mark in text)
    if not mixed or not any(mark.isdigit() for mark in text):
        return text
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
    return "[redacted:aws-secret]" if entropy > 4.2 else text


def _spans(text: str, lowest: int) -> list[int]:
    """Ends of beginnings of `text` at a separator, the longest first, of at least `lowest` letters and digits."""
    ends = [place for place, mark in enumerate(text) if mark in " -"] + [len(text)]
    return [end for end in reversed(ends) if sum(mark.isalnum() for mark in text[:end]) >= lowest]


def _card(found: re.Match[str]) -> str:
    """A number whose check digit is right (Luhn), so that ids and times stay; more digits may follow behind a blank."""
    text = found.group()
    for end in _spans(text, 13):
        digits = [int(mark) for mark in text[:end] if mark.isdigit()]
        total = sum(
            digit if place % 2 == 0 else (digit * 2 - 9 if digit > 4 else digit * 2)
            for place, digit in enumerate(reversed(digits))
        )
        if total % 10 == 0 and any(digits):
            return "[redacted:card]" + text[end:]
    return text


def _iban(found: re.Match[str]) -> str:
    """An account number whose check digits are right (ISO 13616); words may follow behind a blank."""
    text = found.group()
    for end in _spans(text, 15):
        plain = re.sub(r"[ \-]", "", text[:end])
        if len(plain) <= 34 and int("".join(str(int(mark, 36)) for mark in plain[4:] + plain[:4])) % 97 == 1:
            return "[redacted:iban]" + text[end:]
    return text


def _kind(name: str, pattern: str, *signs: str, replace: str | Replace | None = None) -> Kind:
    return Kind(name, re.compile(pattern), replace if replace is not None else f"[redacted:{name}]", signs)


# in the order in which they are masked: what holds others comes first
KINDS: Final = (
    _kind(
        "private-key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s\\:,.()]|-(?!----))*+"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
        "PRIVATE KEY",
    ),
    _kind("jwt", r"(?<![\w\-])eyJ[\w\-]{8,}+\.[\w\-]{4,}+(?:\.[\w\-]*+){0,3}", "eyJ"),
    _kind(
        "url-password",
        r"([A-Za-z][A-Za-z0-9+.\-]{1,20}://)[^\s/?#@:\"'<>\\]{0,100}:[^\s/?#\"'<>\\]{1,300}@",
        "://",
        replace=r"\1[redacted:url-password]@",
    ),
    _kind(
        "webhook",
        r"(hooks\.slack\.com/|discord(?:app)?\.com/api/webhooks/|webhook\.office\.com/)[\w/@+\-]{16,}+",
        "hooks",
        "webhook",
        replace=r"\1[redacted:webhook]",
    ),
    _kind("bearer", r"(?i:\bbearer\s{1,8})[A-Za-z0-9._~+/\-]{16,}+=*+", "earer", "EARER"),
    _kind("basic", r"(?i:(\bbasic\s{1,8}))([A-Za-z0-9+/]{8,}+={0,2})", "asic", "ASIC", replace=_basic),
    Kind("api-key", re.compile(_WORD), _in_words),
    _kind("aws-secret", r"(?<![A-Za-z0-9+/_\-.])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=_\-])", replace=_aws_secret),
    Kind("secret", _ASSIGNED, _assigned, ("=", ":")),
    _kind(
        "email",
        r"[\w.%+\-']{1,64}(?:@|%40)"
        r"(?:(?:[\w\-]{1,63}\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9\-]{2,59})|localhost)",
        "@",
        "%40",
    ),
    _kind(
        "iban",
        r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,4})?(?![A-Za-z0-9])",
        replace=_iban,
    ),
    _kind("card", r"(?<![\d.\-])(?:\d[ \-]?){12,18}\d(?![\d\-])", replace=_card),
    _kind("ssn", r"(?<![\w\-])(?!000|666|9)\d{3}([\- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\w\-])"),
    _kind(
        "phone",
        r"(?<![\w.\-])(?:\+\d{1,3}[ .\-]?(?:\(\d{1,4}\)[ .\-]?)?|\(\d{2,4}\)[ .\-]?|0)"
        r"\d{2,4}(?:[ .\-]?\d{2,4}){1,4}(?![\w\-])"
        r"|(?<![\w.\-])(?:1[ .\-])?[2-9]\d{2}([ .\-])\d{3}\1\d{4}(?![\w\-])",
    ),
)
