"""`printable`: words of strangers, as a terminal may show them."""


def printable(text: str, keep: str = "") -> str:
    """The text without control characters. Args: keep: those that may stay."""
    return "".join(char if char.isprintable() or char in keep else "\N{REPLACEMENT CHARACTER}" for char in text)
