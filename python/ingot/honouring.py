"""Other libraries' arguments: what has no meaning here is taken or refused, by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ingot.errors import UnsupportedError


def refuse(
    where: str,
    given: Mapping[str, object],
    harmless: Collection[str] = (),
    neutral: Mapping[str, Collection[object]] | None = None,
) -> None:
    """Raises an error that names what of ``given`` can't be honoured.

    ``harmless`` arguments change no result, whatever they are: how fast, where, how loud. Others
    may be None, or have one of their ``neutral`` values, which ask for what is done anyway.
    """
    usual = neutral or {}
    wrong = [
        f"{name}={value!r}"
        for name, value in given.items()
        if name not in harmless and value is not None and not _among(value, usual.get(name, ()))
    ]
    if wrong:
        them = "them" if len(wrong) > 1 else "it"
        raise UnsupportedError(f"{where} can't honour {', '.join(wrong)}: leave {them} out")


def _among(value: object, values: Collection[object]) -> bool:
    """``in``, by which False is no 0 and an array no truth."""
    return any(type(one) is type(value) and one == value for one in values)
