"""Nothing private in a report that is pasted into a public place."""

import re
from pathlib import Path

_USER = re.compile(r"(?P<scheme>\b[a-zA-Z][\w+.-]*://)\S*@(?=[^\s/@])")  # greedy: a password may hold / and @


def without_secrets(text: str) -> str:
    """`text` with the home folder as ~ and without the user and password of an address."""
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(re.escape(home) + r"(?=$|[\\/:,\s\"'])", "~", text)
    return _USER.sub(r"\g<scheme>***@", text)


def proxy(address: str) -> str:
    """A proxy's address, with or without a scheme, without its user and password."""
    scheme, _, rest = address.rpartition("://")
    host = rest.rpartition("@")[2] if "@" in rest else rest
    return (scheme.rpartition("@")[2] + "://" if scheme else "") + ("***@" if "@" in address else "") + host
