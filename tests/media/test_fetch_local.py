"""Local addresses stay inside the catalogue's folder and open only regular files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstsight.errors import FAILURE_REASONS, MediaError
from firstsight.media.fetch.addresses import change_stamp, resolve
from firstsight.media.fetch.fetched_media import fetch_bytes, fetch_file
from firstsight.media.policy import MediaPolicy


@pytest.fixture
def policy(tmp_path: Path) -> MediaPolicy:
    (tmp_path / "shop" / "pictures").mkdir(parents=True)
    (tmp_path / "shop" / "pictures" / "a.jpg").write_bytes(b"inside")
    (tmp_path / "secret.jpg").write_bytes(b"outside")
    return MediaPolicy(root=tmp_path / "shop")


def reason(uri: str, policy: MediaPolicy) -> str:
    with pytest.raises(MediaError) as caught:
        fetch_bytes(uri, policy)
    assert uri[:20] in str(caught.value)
    return caught.value.reason


def test_a_relative_path_starts_at_the_catalogues_folder(policy: MediaPolicy) -> None:
    assert fetch_bytes("pictures/a.jpg", policy) == b"inside"


def test_an_absolute_path_inside_the_folder_is_read(policy: MediaPolicy) -> None:
    assert fetch_bytes(f"{policy.root}/pictures/a.jpg", policy) == b"inside"


def test_a_path_that_leaves_and_comes_back_is_read(policy: MediaPolicy) -> None:
    assert fetch_bytes("../shop/pictures/a.jpg", policy) == b"inside"


def test_a_relative_root_works(policy: MediaPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fetch_bytes("pictures/a.jpg", MediaPolicy(root=Path("shop"))) == b"inside"


@pytest.mark.parametrize("uri", ["../secret.jpg", "pictures/../../secret.jpg", "/etc/passwd"])
def test_a_path_out_of_the_folder_is_forbidden(uri: str, policy: MediaPolicy) -> None:
    assert reason(uri, policy) == "forbidden"


def test_a_link_out_of_the_folder_is_forbidden(policy: MediaPolicy, tmp_path: Path) -> None:
    (tmp_path / "shop" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert reason("link.jpg", policy) == "forbidden"


def test_a_linked_folder_out_of_the_folder_is_forbidden(policy: MediaPolicy, tmp_path: Path) -> None:
    (tmp_path / "shop" / "up").symlink_to(tmp_path)
    assert reason("up/secret.jpg", policy) == "forbidden"


def test_a_sibling_whose_name_starts_like_the_folder_is_forbidden(policy: MediaPolicy, tmp_path: Path) -> None:
    (tmp_path / "shop2").mkdir()
    (tmp_path / "shop2" / "a.jpg").write_bytes(b"x")
    assert reason("../shop2/a.jpg", policy) == "forbidden"


def test_a_link_inside_the_folder_is_followed(policy: MediaPolicy, tmp_path: Path) -> None:
    (tmp_path / "shop" / "link.jpg").symlink_to("pictures/a.jpg")
    assert fetch_bytes("link.jpg", policy) == b"inside"


def test_allow_anywhere_lets_every_regular_file_be_read(policy: MediaPolicy, tmp_path: Path) -> None:
    assert fetch_bytes("../secret.jpg", MediaPolicy(root=policy.root, allow_anywhere=True)) == b"outside"


def test_a_catalogue_without_a_folder_has_no_local_files(policy: MediaPolicy, tmp_path: Path) -> None:
    assert reason(str(tmp_path / "secret.jpg"), MediaPolicy()) == "forbidden"


def test_a_missing_file_is_missing(policy: MediaPolicy) -> None:
    assert reason("pictures/b.jpg", policy) == "missing"


@pytest.mark.parametrize("uri", ["a\x00.jpg", "a" * 5000, "loop.jpg", ""])
def test_an_impossible_path_is_a_media_error(uri: str, policy: MediaPolicy, tmp_path: Path) -> None:
    (tmp_path / "shop" / "loop.jpg").symlink_to("loop.jpg")
    with pytest.raises(MediaError):
        fetch_bytes(uri, policy)


def test_a_folder_is_forbidden(policy: MediaPolicy) -> None:
    assert reason("pictures", policy) == "forbidden"


def test_a_named_pipe_is_forbidden_and_does_not_block(policy: MediaPolicy, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "shop" / "pipe.jpg")
    assert reason("pipe.jpg", policy) == "forbidden"


def test_a_device_is_forbidden_even_anywhere() -> None:
    assert reason("/dev/zero", MediaPolicy(allow_anywhere=True)) == "forbidden"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_file_without_permission_is_forbidden(policy: MediaPolicy, tmp_path: Path) -> None:
    (tmp_path / "shop" / "pictures" / "a.jpg").chmod(0)
    assert reason("pictures/a.jpg", policy) == "forbidden"


def test_a_picture_above_the_byte_limit_is_too_large(policy: MediaPolicy) -> None:
    assert reason("pictures/a.jpg", MediaPolicy(root=policy.root, max_picture_bytes=5)) == "too_large"


def test_a_picture_at_the_byte_limit_is_read(policy: MediaPolicy) -> None:
    assert fetch_bytes("pictures/a.jpg", MediaPolicy(root=policy.root, max_picture_bytes=6)) == b"inside"


def test_a_file_name_with_colons_is_a_path(policy: MediaPolicy, tmp_path: Path) -> None:
    (tmp_path / "shop" / "sale: red.jpg").write_bytes(b"colon")
    assert fetch_bytes("sale: red.jpg", policy) == b"colon"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///etc/passwd", "forbidden"),
        ("FILE:/etc/passwd", "forbidden"),
        ("data:image/png;base64,AAAA", "forbidden"),
        ("ftp://example.com/a.jpg", "unsupported"),
        ("memory://a.jpg", "unsupported"),
        ("simplecache::s3://bucket/a.jpg", "forbidden"),
        ("filecache::file:///etc/passwd", "forbidden"),
        ("s3://bucket/a.zip::file:///etc/passwd", "forbidden"),
        ("zip://a.jpg::file:///etc/passwd", "forbidden"),
    ],
)
def test_other_schemes_and_chains_are_refused(uri: str, expected: str, policy: MediaPolicy) -> None:
    anywhere = MediaPolicy(root=policy.root, allow_anywhere=True, allow_private=True)
    assert reason(uri, anywhere) == expected


def test_fetch_file_gives_a_local_file_its_own_path(policy: MediaPolicy, tmp_path: Path) -> None:
    with fetch_file("pictures/a.jpg", policy) as path:
        assert path == (tmp_path / "shop" / "pictures" / "a.jpg").resolve()


def test_fetch_file_keeps_the_video_limit(policy: MediaPolicy) -> None:
    small = MediaPolicy(root=policy.root, max_video_bytes=5)
    with pytest.raises(MediaError) as caught, fetch_file("pictures/a.jpg", small):
        pass
    assert caught.value.reason == "too_large"


def test_resolve_gives_remote_addresses_as_they_are(policy: MediaPolicy) -> None:
    assert resolve("https://example.com/a.jpg", policy) == "https://example.com/a.jpg"


def test_identity_changes_with_the_file(policy: MediaPolicy, tmp_path: Path) -> None:
    path = tmp_path / "shop" / "pictures" / "a.jpg"
    before = change_stamp("pictures/a.jpg", policy)
    assert change_stamp("pictures/a.jpg", policy) == before
    os.utime(path, ns=(1, 1))
    assert change_stamp("pictures/a.jpg", policy) == "6-1"
    path.write_bytes(b"longer")
    assert change_stamp("pictures/a.jpg", policy) not in (before, "6-1")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("nothing.jpg", "missing"),
        ("../secret.jpg", "forbidden"),
        ("file:///etc/passwd", "forbidden"),
        ("https://example.com/a.jpg", "remote"),
        ("s3://bucket/a.jpg", "remote"),
    ],
)
def test_identity_of_what_is_no_local_file_is_one_word(uri: str, expected: str, policy: MediaPolicy) -> None:
    assert change_stamp(uri, policy) == expected


@given(uri=st.text(max_size=60))
def test_identity_never_raises(uri: str) -> None:
    answer = change_stamp(uri, MediaPolicy(root=Path("/nowhere")))
    assert answer == "remote" or answer in FAILURE_REASONS
