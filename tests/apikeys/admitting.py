"""What a key meets at the door, in a word."""

from apikeys import admission, keys
from apikeys.admission import Admission, Lookup

HERE = Lookup(address="127.0.0.1")


def admit(raw: str, lookup: Lookup = HERE) -> Admission:
    found = admission.admit(keys.digest(raw), lookup)
    assert found is not None
    return found


def refused(raw: str) -> bool:
    return admission.admit(keys.digest(raw), HERE) is None
