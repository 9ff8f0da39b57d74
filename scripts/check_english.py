"""Check for plain English: no banned phrase in sources and documents, imperative subjects of new commits."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SINCE = "2026-11-29T14:00:00Z"  # earlier commits have other subjects
# Idioms and relative clauses that international readers stumble over, each with the plain way to say it.
BANNED = {
    r"\bwhat is to be\b": "name the thing",
    r"(?:^|[.;:\"] |\"\"\")(?:What|Who|Whoever|Whatever) (?!is |are )\w+(?: \w+)*[,.]": "start with the noun",
    r"\banew\b": "again",
    r"\bgravest\b": "most severe",
    r"\b(?:is|are) told so\b": "gets an error",
    r"\bless what\b": "minus, without",
    r"\b(?:mends?|mended)\b": "fix",
    r"\bstands? (?:beside|behind|for itself|in its)\b": "is next to",
    r"\bmakes? (?:much|little) of\b": "expands, shrinks",
    r"\bas many as (?:there|it|may)\b": "all",
    r"\bin the place of another\b": "instead",
    r"\b[Ww]ait so long\b": "maximum wait",
}
VERB = r"(?!The |A |An |What |Who )[A-Z][a-z-]+(?<!ing)(?<!ed)(?<![^s]s)|Bring|Embed|Feed|Speed|Need"


def phrases() -> Iterator[str]:
    """Every banned phrase in a tracked source or document, with its place and what to say."""
    for name in set(git("ls-files", "*.py", "*.md")) - {"scripts/check_english.py", "docs/renamed.md"}:
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
            for pattern, advice in BANNED.items():
                if found := re.search(pattern, line):
                    yield f"{name}:{number}: {found[0]!r}: {advice}"


def git(*arguments: str) -> list[str]:
    """The lines that git prints; none where the sources are no git checkout."""
    command = ["git", "-c", "safe.directory=*", *arguments]  # a checkout may belong to another user
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=(ROOT / ".git").exists())
    return done.stdout.splitlines()


if __name__ == "__main__":
    commits = git("log", "--no-merges", f"--since={SINCE}", "--format=%s")
    wrong = [subject for subject in commits if len(subject) > 72 or not re.match(rf"(?:{VERB}) .+[^.]$", subject)]
    asked = [f"commit {subject!r}: use an imperative subject of at most 72 characters" for subject in wrong]
    sys.exit("\n".join([*sorted(phrases()), *asked]) or None)
