# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write YAML without a YAML library, which hosts do not have."""

from __future__ import annotations

import json
import re

_PLAIN = re.compile(r"[A-Za-z_/.](?:[A-Za-z0-9_./@ -]|:(?=[A-Za-z0-9/]))*\Z")
# Words and numbers that YAML 1.1 or 1.2 does not read as text.
_NOT_TEXT = re.compile(r"(?:y|n|yes|no|on|off|true|false|null|none|---)\Z|\.(?!\.?/|env\Z)", re.IGNORECASE)


def quoted(value: object) -> str:
    """Return a value as JSON, with the characters escaped that YAML does not allow in a quoted text."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def yaml_scalar(value: object) -> str:
    """Return a value as YAML on one line: a plain text where YAML reads it as that text, else JSON."""
    if isinstance(value, str) and _PLAIN.match(value) and not _NOT_TEXT.match(value) and value == value.strip():
        return value
    return quoted(value)


def override_text(header: str, override: dict) -> str:
    """Return the text of a Compose override file: a line for each key of a service, with its value as JSON."""
    lines = [f"# {header}"] if header else []
    for section, items in override.items():
        lines.append(f"{yaml_scalar(section)}:")
        for name, keys in items.items():
            lines.append(f"  {yaml_scalar(name)}:")
            lines += [f"    {yaml_scalar(key)}: {yaml_scalar(value)}" for key, value in keys.items()]
    return "\n".join([*lines, ""])
