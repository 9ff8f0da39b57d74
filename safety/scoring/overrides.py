"""Decisions that do not come from scores: known pictures, title words, people. Scoring finds them by itself."""

from __future__ import annotations

from firstsight.media.fingerprints import MAX_DISTANCE
from firstsight.safety.audit.override_table import read_reviews
from firstsight.safety.hashes.hash_bank import HashBank, match_views
from firstsight.safety.policy.decisions import Evidence, Override, most_severe
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.word_lists import group_by_item, match_words
from firstsight.storage.store import Store


def find_overrides(store: Store, policies: Policies, *, max_distance: int = MAX_DISTANCE) -> dict[str, Override]:
    """The override of every item that has one: a known-bad picture blocks, listed words do what their policy says, and
    a person's decision counts above all.

    An item that a person blocked and that has changed since is at least reviewed, whatever its scores.

    Args:
        store: the database, with the hash bank and people's decisions.
        policies: those in force, with their words.
        max_distance: bits by which a picture may differ from a known one, 0 to 31.

    Raises:
        SafetyError: a distance that is not searched.
    """
    known = HashBank(store).known()
    matched: dict[str, list[Evidence]] = {}
    for match in match_views(store, known, max_distance=max_distance) if known.entries else ():
        if match.known.set == "bad":
            matched.setdefault(match.item_id, []).append(match.evidence(max_distance))
    overrides = {item_id: Override("block", tuple(found)) for item_id, found in matched.items()}
    for item_id, words in group_by_item(match_words(store, policies.in_force)).items():
        before = overrides.get(item_id, Override("allow", ()))
        action = most_severe([before.action, words[0].action])
        overrides[item_id] = Override(action, (*before.evidence, *(word.evidence() for word in words)))
    reviews = read_reviews(store)
    for item_id, (digest, _) in store.digests(sorted(reviews.decisions)).items():
        made = reviews.in_force(item_id, digest)
        if made is None:
            continue
        if made.digest == digest:
            overrides[item_id] = Override(made.action, made.evidence())
        else:  # changed since it was blocked: no person has seen it as it is, so that graver findings count
            overrides.setdefault(item_id, Override("review", ()))
    return overrides
