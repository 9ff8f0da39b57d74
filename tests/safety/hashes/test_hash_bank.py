"""The hash bank: known pictures are found in stored views, known-good ones cancel matches, changes are logged."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import firstsight
from firstsight.encoders.base import EncoderSpec
from firstsight.errors import SafetyError
from firstsight.media.fingerprints import Fingerprints, distances
from firstsight.safety.audit.audit_log import AuditLog
from firstsight.safety.hashes import hash_matching
from firstsight.safety.hashes.hash_bank import HashBank
from firstsight.safety.hashes.hash_lists import HashSet, KnownHash
from firstsight.safety.hashes.hash_matching import KnownHashes, match_views
from firstsight.safety.hashes.hash_sources import hashes_of_files, hashes_of_items
from firstsight.storage.store import Store

SAMPLE = Path(__file__).parents[3] / "sample_media"


def flipped(code: bytes, bits: int, seed: int = 0) -> bytes:
    places = np.random.default_rng(seed).choice(256, bits, replace=False)
    mask = np.zeros(256, np.uint8)
    mask[places] = 1
    return (np.frombuffer(code, np.uint8) ^ np.packbits(mask)).tobytes()


def known(code: bytes, of_set: HashSet = "bad", policy: str = "weapons") -> KnownHash:
    return KnownHash(code, of_set, policy if of_set == "bad" else "", "test")


def random_codes(count: int, seed: int = 0) -> Fingerprints:
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)


def write_views(store: Store, codes: Fingerprints) -> None:
    now = datetime.now(UTC)
    item = {"kind": "product", "digest": "d", "row_digest": "r", "catalog_dir": "/", "run_id": "r", "indexed_at": now}
    vector = np.eye(8, dtype=np.float32)[0]
    ids = [f"i{n:05d}" for n in range(len(codes))]
    views = [
        {"view_id": f"{one}#image-0", "item_id": one, "part": "image", "uri": "a.jpg", "fingerprint": code.tobytes()}
        | {"vector": vector}
        for one, code in zip(ids, codes, strict=True)
    ]
    views += [{"view_id": f"{one}#title", "item_id": one, "part": "title", "vector": vector} for one in ids[:100]]
    with store.writing():
        store.write_views(views, replaced=[])
        store.write_items([item | {"item_id": one, "vector": vector} for one in ids])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "db", EncoderSpec("drawn", 8, 32, "d"))


@pytest.fixture
def log(store: Store) -> AuditLog:
    return AuditLog.of(store.uri)


def test_the_nearest_hash_of_each_policy_is_named_up_to_31_bits() -> None:
    code = random_codes(1)[0].tobytes()
    bank = KnownHashes.of(
        [
            known(flipped(code, 31)),
            known(flipped(code, 7)),
            known(flipped(code, 20), policy="drugs"),
            known(flipped(code, 32)),
        ]
    )
    found = bank.nearest(np.frombuffer(code, np.uint8)[None])
    assert [(entry.policy_id, distance) for _, entry, distance in found] == [("weapons", 7), ("drugs", 20)]
    assert [distance for *_, distance in bank.nearest(np.frombuffer(code, np.uint8)[None], max_distance=7)] == [7]
    assert KnownHashes.of([known(flipped(code, 32))]).nearest(np.frombuffer(code, np.uint8)[None]) == []


@pytest.mark.parametrize(("good", "decides"), [(9, ("good", 9)), (10, ("good", 10)), (11, ("bad", 10))])
def test_a_good_hash_cancels_only_matches_that_are_not_nearer(good: int, decides: tuple[str, int]) -> None:
    code = random_codes(1)[0].tobytes()
    bank = KnownHashes.of([known(flipped(code, 10)), known(flipped(code, good, seed=1), "good")])
    (found,) = bank.nearest(np.frombuffer(code, np.uint8)[None])
    assert (found[1].set, found[2]) == decides


def test_matching_equals_comparing_all_pairs(store: Store, log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = random_codes(3_000)
    bank = random_codes(400, seed=1)
    for n in range(0, 400, 2):  # half of the bank are near to some view
        bank[n] = np.frombuffer(flipped(codes[n * 7].tobytes(), n % 40, seed=n), np.uint8)
    write_views(store, codes)
    assert HashBank(store).add([known(code.tobytes()) for code in bank], log, by="ana") == 400
    monkeypatch.setattr(hash_matching, "BATCH", 256)
    found = {(m.item_id, m.known.hex, m.distance) for m in match_views(store, HashBank(store).known())}
    bits = distances(codes[:, None], bank)
    rows, columns = np.nonzero(bits <= 31)
    assert len(rows) == 160
    assert found == {
        (f"i{row:05d}", bank[column].tobytes().hex(), int(bits[row, column]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    }
    one = f"i{rows[0]:05d}"
    assert [m.item_id for m in match_views(store, HashBank(store).known(), item_ids=[one, "i00001"])] == [one]


def test_entries_are_added_replaced_listed_and_removed_and_all_of_it_is_logged(store: Store, log: AuditLog) -> None:
    codes = [code.tobytes() for code in random_codes(3)]
    bank = HashBank(store)
    assert bank.hashes() == []
    assert bank.add([known(code) for code in codes[:2]], log, by="ana") == 2
    again = KnownHash(codes[0], "bad", "weapons", "another list", ("tag",), 90)
    assert bank.add([again, known(codes[0], policy="drugs"), known(codes[2], "good")], log, by="ben") == 2
    assert len(bank.hashes()) == 4
    (replaced,) = [one for one in bank.hashes(policy_id="weapons") if one.fingerprint == codes[0]]
    assert (replaced.source, replaced.tags, replaced.quality) == ("another list", ("tag",), 90)
    assert replaced.added_at is not None
    assert [one.fingerprint for one in bank.hashes(of_set="good")] == [codes[2]]
    assert bank.remove([codes[0]], log, by="ana") == 2
    assert bank.remove([codes[0]], log, by="ana") == 0
    assert {one.fingerprint for one in bank.hashes()} == set(codes[1:])
    told = [(entry.record["action"], entry.record["by"], entry.record["entries"]) for entry in log.entries()]
    assert told == [("add", "ana", 2), ("add", "ben", 3), ("remove", "ana", 2)]
    assert log.verify().ok


def test_a_distance_out_of_range_is_refused() -> None:
    with pytest.raises(SafetyError, match="0 to 31"):
        KnownHashes.of([known(bytes(range(32)))]).nearest(random_codes(1), max_distance=32)


def test_a_picture_added_by_file_is_found_among_the_indexed_ones(sample_db: Path, tmp_path: Path) -> None:
    path = sorted((SAMPLE / "pictures").glob("*guitar*"))[0]
    with Image.open(path) as file:
        picture = file.convert("RGB")
    picture.resize((picture.width // 2, picture.height // 2)).save(tmp_path / "copy.jpg", quality=60)
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    added, failed = hashes_of_files(
        [tmp_path / "copy.jpg", tmp_path / "black.png", tmp_path / "gone.png"], of_set="bad", policy_id="weapons"
    )
    assert [error.reason for error in failed] == ["empty", "missing"]
    store = Store.open(sample_db)
    found = list(match_views(store, KnownHashes.of(added.hashes)))
    assert {match.uri for match in found} == {f"pictures/{path.name}"}
    evidence = found[0].evidence()
    assert (evidence.policy_id, evidence.source, evidence.part, evidence.cut) == ("weapons", "hash", "image", 31.0)
    assert evidence.score <= 31


def test_an_item_is_found_by_itself_and_a_video_by_its_frames_on_request(sample_db: Path) -> None:
    store = Store.open(sample_db)
    pictures = store.views.search().where("part = 'image' AND fingerprint IS NOT NULL").limit(None).to_arrow()
    item_id = pictures["item_id"][0].as_py()
    by_item = hashes_of_items(store, [item_id], of_set="bad", policy_id="weapons").hashes
    assert item_id in {m.item_id for m in match_views(store, KnownHashes.of(by_item))}
    frames = store.views.search().where("part = 'frame' AND fingerprint IS NOT NULL").limit(None).to_arrow()
    item_id, uri = next((i, u) for i, u in zip(*(frames[c].to_pylist() for c in ("item_id", "uri")), strict=True) if u)
    by_file, failed = hashes_of_files([SAMPLE / uri], of_set="bad", policy_id="weapons", frames=True)
    assert failed == []
    assert len(by_file.videos) == 1
    matches = [m for m in match_views(store, KnownHashes.of(by_file.hashes)) if m.item_id == item_id]
    assert {m.part for m in matches} == {"frame"}
    assert hashes_of_files([SAMPLE / uri], of_set="bad", policy_id="weapons")[0].hashes == []
    with pytest.raises(SafetyError, match="no item 'nobody'"):
        hashes_of_items(store, ["nobody"], of_set="bad", policy_id="weapons")


def test_a_database_of_an_earlier_version_matches_nothing(tmp_path: Path, store: Store) -> None:
    store.views.drop_columns(["fingerprint"])
    reopened = Store.open(store.uri)
    assert list(match_views(reopened, KnownHashes.of([known(bytes(range(32)))]))) == []


def test_the_bank_outlives_the_tables_of_the_index(sample_db: Path, tmp_path: Path) -> None:
    """Indexing again touches neither the bank nor the log."""
    copy = tmp_path / "db"
    shutil.copytree(sample_db, copy)
    store = Store.open(copy)
    HashBank(store).add([known(bytes(range(32)))], AuditLog.of(store.uri), by="ana")
    firstsight.open(copy).index(SAMPLE / "catalogue.csv")
    assert len(HashBank(Store.open(copy)).hashes()) == 1
    assert AuditLog.of(str(copy)).verify().entries == 1
