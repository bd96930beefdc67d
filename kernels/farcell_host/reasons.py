"""Why something has ended or could not begin, in a word that programs can compare: `error.reason`."""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """One a cause that asks for something else to be done; `farcell.deaths` has the words for people."""

    CANCELLED = "cancelled"
    CRASHED = "crashed"
    DISK_FULL = "disk-full"
    DISK_QUOTA = "disk-quota"
    ENDED = "ended"
    EXITED = "exited"
    GPU_OUT_OF_MEMORY = "gpu-out-of-memory"
    HOST_KEY_CHANGED = "host-key-changed"
    HOST_KEY_UNKNOWN = "host-key-unknown"
    IDLE = "idle"
    JOB_FAILED = "job-failed"
    JOB_REFUSED = "job-refused"
    KILLED = "killed"
    LIMIT = "limit"
    LOGIN_REFUSED = "login-refused"
    NODE_FAILURE = "node-failure"
    OUT_OF_MEMORY = "out-of-memory"
    PREEMPTED = "preempted"
    REQUEUED = "requeued"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"
    WALL_TIME = "wall-time"

    @classmethod
    def of(cls, word: object) -> Reason:
        """Of a host that may be newer than we."""
        try:
            return cls(word)
        except ValueError:
            return cls.UNKNOWN
