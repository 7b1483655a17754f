"""Settings of the index: the log of commits in the store."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitSettings:
    """How the log of commits is written and followed."""

    checkpoint_commits: int = 64
    """Commits after which the log is folded. Fewer: faster starts, more writing."""
    checkpoints_kept: int = 4
    """Checkpoints that stay, the newest among them; older ones are deleted."""
    attempts_max: int = 1000
    """Numbers that a commit tries before it gives up; each lost one is somebody else's commit."""
    backoff_s_max: float = 0.25
    """Longest pause between two attempts."""
    far_behind_commits: int = 64
    """Commits that are read one by one; who is further behind looks for a checkpoint."""
    pointer_s: float = 60.0
    """How often a process that is up to date sees whether the newest checkpoint is ahead of it all
    the same: the log was rebuilt, or has lost commits."""
