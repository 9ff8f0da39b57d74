"""Sample videos in many containers and codecs, to test decoders; made with the ffmpeg command."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = "testsrc2=s=320x240:r=25:d=6"
X264 = "-c:v libx264 -bf 2 -g 25"

# name -> (source, ffmpeg options); a source that is a name in this list is copied or cut
SAMPLES: dict[str, tuple[str, str]] = {
    "h264.mp4": (SOURCE, X264),
    "h264.mkv": (SOURCE, X264),
    "h264-10bit.mp4": (SOURCE, "-c:v libx264 -pix_fmt yuv420p10le -g 25"),
    "h264-fragmented.mp4": (SOURCE, f"{X264} -movflags frag_keyframe+empty_moov"),
    "h264-open-gop.mp4": (SOURCE, "-c:v libx264 -bf 3 -g 25 -x264-params open-gop=1"),
    "h264-vfr.mp4": (SOURCE, f"{X264} -vf select='not(mod(n\\,3))+lt(n\\,40)' -fps_mode vfr"),
    "h264-odd.mkv": ("testsrc2=s=321x241:r=25:d=3", "-c:v libx264 -pix_fmt yuv444p"),
    "h264-one-frame.mp4": (SOURCE, "-c:v libx264 -frames:v 1"),
    "h264-8x8.mp4": ("testsrc2=s=8x8:r=25:d=2", "-c:v libx264"),
    "hevc.mp4": (SOURCE, "-c:v libx265 -x265-params log-level=none:bframes=4:keyint=25"),
    "vp8.webm": (SOURCE, "-c:v libvpx -b:v 2M -g 25"),
    "vp9.webm": (SOURCE, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25"),
    "mpeg4.mp4": (SOURCE, "-c:v mpeg4 -g 25"),
    "mjpeg.mov": (SOURCE, "-c:v mjpeg -q:v 3"),
    "prores.mov": ("testsrc2=s=320x240:r=25:d=2", "-c:v prores_ks"),
    "av1.mp4": (SOURCE, "-c:v libsvtav1 -preset 12 -g 25"),
    "h264.ts": (SOURCE, X264),
    "h264-open-gop.ts": (SOURCE, "-c:v libx264 -bf 3 -g 25 -x264-params open-gop=1"),
    "h264.m2ts": (SOURCE, X264),
    "mpeg2.ts": (SOURCE, "-c:v mpeg2video -bf 2 -g 12"),
    "mpeg2.mpg": (SOURCE, "-c:v mpeg2video -bf 2 -g 12"),
    "mpeg4.avi": (SOURCE, "-c:v mpeg4 -bf 2 -g 25"),
    "h264.avi": (SOURCE, X264),
    "h264.flv": (SOURCE, X264),
    "theora.ogv": (SOURCE, "-c:v libtheora"),
    "msmpeg4.wmv": (SOURCE, "-c:v msmpeg4"),
    "animation.gif": ("testsrc2=s=160x120:r=10:d=3", ""),
    "animation.webp": ("testsrc2=s=160x120:r=10:d=3", "-c:v libwebp_anim -lossless 1 -pix_fmt bgra -loop 0"),
    "animation.png": ("testsrc2=s=160x120:r=10:d=3", "-c:v apng -f apng"),
    "edit-list.mp4": ("h264.mp4", "-c copy"),
    "rotated.mp4": ("h264.mp4", "-c copy -metadata:s:v rotate=90"),
    "truncated.mp4": ("h264-faststart.mp4", ""),
    "flipped-bytes.mp4": ("h264-faststart.mp4", ""),
    "h264-faststart.mp4": (SOURCE, f"{X264} -movflags +faststart"),
}
_DAMAGED = ("truncated.mp4", "flipped-bytes.mp4")


def make_videos(folder: Path) -> list[Path]:
    """Write the samples that do not exist yet. Samples without an encoder in this ffmpeg are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    later = [name for name, (source, _) in SAMPLES.items() if source in SAMPLES]
    for name in [*(name for name in SAMPLES if name not in later), *later]:
        if not (folder / name).exists():
            _make(folder, name)
    return [folder / name for name in SAMPLES if (folder / name).exists()]


def _make(folder: Path, name: str) -> None:
    source, options = SAMPLES[name]
    if name in _DAMAGED:
        data = bytearray((folder / source).read_bytes())
        if name.startswith("flipped"):
            for at in range(len(data) // 2, len(data), 9973):
                data[at] ^= 0xFF
        (folder / name).write_bytes(data[: len(data) * 2 // 3] if name.startswith("truncated") else data)
        return
    cut = ["-ss", "1.3"] if name.startswith("edit") else []
    given = ["-i", str(folder / source)] if source in SAMPLES else ["-f", "lavfi", "-i", source]
    limit = ["-t", "3"] if cut else []
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *cut, *given, *limit, *options.split(), str(folder / name)]
    if subprocess.run(command, capture_output=True).returncode:
        (folder / name).unlink(missing_ok=True)
