"""The evidence of two videos tells whether their sound tracks agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from firstsight.duplicates.item_pairs import find_duplicates
from firstsight.media.sound_prints import SAME_SOUND, SOUND_RATE, sound_codes
from firstsight.storage.store import Store
from firstsight.vectors import EncoderSpec
from tests.duplicates.video_codes import noisy, scenes, video, write_prints
from tests.media.test_sound_prints import melody

FILM = scenes([4, 5, 5, 6], 2)


def test_the_sound_of_a_copy_agrees_or_was_replaced(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "db", EncoderSpec("drawn", 32, 32, "d"))
    sound = melody(1, 20)
    noise = np.random.default_rng(0).normal(0, 0.02, len(sound)).astype(np.float32)
    cut = sound[round(5.1 * SOUND_RATE) : 15 * SOUND_RATE]
    videos = {
        "film": replace(video(FILM), sound=sound_codes([sound])),
        "copy": replace(video(noisy(FILM, 20)), sound=sound_codes([sound + noise])),
        "cut": replace(video(noisy(FILM[10:30], 20)), sound=sound_codes([cut])),
        "dubbed": replace(video(noisy(FILM, 20)), sound=sound_codes([melody(2, 20)])),
        "mute": video(noisy(FILM, 20)),
    }
    write_prints(store, videos)
    agree = {(pair.item_id, pair.other_id): pair.evidence.sound for pair in find_duplicates(store)}
    assert {pair for pair, share in agree.items() if share is None} == {pair for pair in agree if "mute" in pair}
    same = {pair for pair, share in agree.items() if share is not None and share >= SAME_SOUND}
    assert same == {("copy", "film"), ("cut", "film"), ("copy", "cut")}
