"""Search for overrides: decisions by known pictures, listed words and people. Each scoring runs it by default."""

from __future__ import annotations

from firstsight.media.fingerprints import MAX_DISTANCE
from firstsight.safety.audit.override_table import read_reviews
from firstsight.safety.hashes.hash_bank import HashBank
from firstsight.safety.hashes.hash_matching import match_views
from firstsight.safety.hashes.known_videos import match_videos
from firstsight.safety.policy.decisions import Evidence, Override, most_severe
from firstsight.safety.policy.policies import Policies
from firstsight.safety.policy.word_lists import group_by_item, match_words
from firstsight.safety.scoring.detector_matches import match_detectors
from firstsight.storage.store import Store


def find_overrides(store: Store, policies: Policies, *, max_distance: int = MAX_DISTANCE) -> dict[str, Override]:
    """Find the overrides of all items.

    A known-bad picture blocks its item. A known-bad video blocks it, or sends it to review if the shared part is short.
    A listed word has the action of its policy's list. A detector's label sends it to review, or blocks it above a cut
    that was chosen on labels. A person's decision replaces all of these. If an item has changed
    since a person blocked it, it goes at least to review, whatever its scores.

    Args:
        store: the database, with the hash bank and people's decisions.
        policies: the policies, with their words.
        max_distance: maximum distance between a picture and a known one in bits, 0 to 31.

    Returns:
        Item id -> override, of the items with one.

    Raises:
        SafetyError: `max_distance` is out of range.
    """
    bank = HashBank(store)
    known = bank.known()
    matched: dict[str, list[Evidence]] = {}
    for match in match_views(store, known, max_distance=max_distance) if known.entries else ():
        if match.known.set == "bad":
            matched.setdefault(match.item_id, []).append(match.evidence(max_distance))
    overrides = {item_id: Override("block", tuple(evidence)) for item_id, evidence in matched.items()}
    for found in match_videos(store, bank.videos()):
        if found.known.set == "bad":
            before = overrides.get(found.item_id, Override("allow", ()))
            action = most_severe([before.action, found.action])
            overrides[found.item_id] = Override(action, (*before.evidence, found.evidence()))
    for item_id, words in group_by_item(match_words(store, policies.in_force)).items():
        before = overrides.get(item_id, Override("allow", ()))
        action = most_severe([before.action, words[0].action])
        overrides[item_id] = Override(action, (*before.evidence, *(word.evidence() for word in words)))
    for item_id, (found_action, evidence) in match_detectors(store, policies.in_force).items():
        before = overrides.get(item_id, Override("allow", ()))
        overrides[item_id] = Override(most_severe([before.action, found_action]), (*before.evidence, *evidence))
    reviews = read_reviews(store)
    for item_id, (digest, _) in store.digests(sorted(reviews.decisions)).items():
        decision = reviews.in_force(item_id, digest)
        if decision is None:
            continue
        if decision.digest == digest:
            overrides[item_id] = Override(decision.action, decision.evidence())
        else:  # changed since the block: no person has seen the item as it is now, so more severe overrides count
            overrides.setdefault(item_id, Override("review", ()))
    return overrides
