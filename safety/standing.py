"""What decides about items beside scores: known pictures, title words, people. Scoring takes it as `standing`."""

from __future__ import annotations

from firstsight.indexer.store import Store
from firstsight.media.fingerprints import MAX_DISTANCE
from firstsight.safety.audit import AuditLog
from firstsight.safety.decisions import Evidence, Standing, gravest
from firstsight.safety.hash_bank import HashBank, match_views
from firstsight.safety.policies import Policies
from firstsight.safety.reviews import Reviews
from firstsight.safety.words import by_item, match_words


def standing_decisions(
    store: Store, log: AuditLog, policies: Policies, *, max_distance: int = MAX_DISTANCE
) -> dict[str, Standing]:
    """The decisions that stand, by item: a known-bad picture blocks, listed words do what their policy says, and a
    person's word counts above all.

    An item that a person blocked and that has changed since is at least reviewed, whatever its scores.

    Args:
        policies: those in force, with their words.
        max_distance: bits by which a picture may differ from a known one, 0 to 31.

    Raises:
        SafetyError: the log cannot be read, or a distance that is not searched.
    """
    known = HashBank(store).known()
    matched: dict[str, list[Evidence]] = {}
    for match in match_views(store, known, max_distance=max_distance) if known.entries else ():
        if match.known.set == "bad":
            matched.setdefault(match.item_id, []).append(match.evidence(max_distance))
    standing = {item_id: Standing("block", tuple(found)) for item_id, found in matched.items()}
    for item_id, words in by_item(match_words(store, policies.in_force)).items():
        before = standing.get(item_id, Standing("allow", ()))
        action = gravest([before.action, words[0].action])
        standing[item_id] = Standing(action, (*before.evidence, *(word.evidence() for word in words)))
    reviews = Reviews.read(log)
    for item_id, (digest, _) in store.digests(sorted(reviews.decisions)).items():
        made = reviews.in_force(item_id, digest)
        if made is None:
            continue
        if made.digest == digest:
            standing[item_id] = Standing(made.action, made.evidence())
        else:  # changed since it was blocked: no person has seen it as it is, so that graver findings count
            standing.setdefault(item_id, Standing("review", ()))
    return standing
