"""A target's keys for a form: the models' own JSON Schema, with words for people, and which backends use a key at all."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..backends.base import backend_names
from ..targets import BUILTIN, Target
from .schemas import TargetSchema

_REMOTE = ("ssh", "slurm")
_JOB = ("slurm",)
_LENT = ("broker",)
INFINITE = "inf"
"""JSON has no infinity, TOML has: among keys it is this word, both ways."""

FORM: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "backend": ("Backend", "The way to get a kernel.", ()),
    "host": ("Host", "The machine, or a Host of ~/.ssh/config; with slurm a login node of the cluster.", _REMOTE),
    "url": ("Broker", "Its address, such as https://hub.example.org/services/farcell.", _LENT),
    "lends": ("Lent target", "The broker's own name of it, where this target is named otherwise.", _LENT),
    "token_file": ("Token's file", "A file that holds your token for the broker, and that nobody else can read.", _LENT),
    "token_variable": ("Token's variable", "The environment variable that holds it; without both a hub's own.", _LENT),
    "user": ("User", "The account there; without it what ssh's configuration says.", _REMOTE),
    "python": ("Python", "The remote kernel's interpreter, a whole path or a command of the target.", ()),
    "cwd": ("Working folder", "Where the kernel starts, a whole path on the target.", ()),
    "setup": ("Setup", "Shell commands that run there before the host starts, such as: module load cuda.", _REMOTE),
    "gpus": ("GPUs", "GPUs on each node.", _JOB),
    "gpu_type": ("GPU type", "As the cluster names it, such as a100.", _JOB),
    "cpus": ("Processors", "Processors; without it the cluster's default.", _JOB),
    "mem": ("Memory", "Memory on each node, such as 64G.", _JOB),
    "walltime": ("Wall time", "How long the job may last, such as 2h, 90m or 1:30:00.", _JOB),
    "partition": ("Partition", "Where jobs are submitted.", _JOB),
    "account": ("Account", "Whom it is charged to.", _JOB),
    "qos": ("Quality of service", "As the cluster names it.", _JOB),
    "nodes": ("Nodes", "Nodes of the job; cells run on the first.", _JOB),
    "constraint": ("Constraint", "Features that nodes must have.", _JOB),
    "reservation": ("Reservation", "A reservation's name.", _JOB),
    "sbatch": ("Options of sbatch", "Further options, such as --exclusive.", _JOB),
    "trust": ("Trusted with", "With data alone, nothing that comes back is unpickled: it can run no code in the notebook.", ()),
    "keep_s": ("Kept for its notebook", "Seconds a session waits for its notebook after a crash or a lost connection.", ()),
    "idle_timeout_s": ("Idle time", "Seconds without use after which a session saves its variables and ends.", ()),
    "env": ("Environment", "Variables, names and texts, added to the target's own.", ()),
    "secrets": ("Secrets", "Names of environment variables that are sent along from this machine.", _REMOTE),
    "price_per_hour": ("Price per hour", "What a session there costs in an hour, idle or not.", ()),
    "budget": ("Budget", "What it may cost in a day and in a month.", ()),
    "environment": ("Environment of packages", "What is done where Python has no ipykernel.", _REMOTE),
    "system_site_packages": (
        "Sees installed packages",
        "Whether such an environment sees the packages that Python has.",
        _REMOTE,
    ),
    "cache_dir": ("Cache folder", "Folder there for environments and sent data, a whole path.", _REMOTE),
    "state_dir": ("State folder", "Folder that all nodes see, for what must outlive a node, a whole path.", _JOB),
    "route": ("Route", "How a job's node is reached: tcp from the login node, or srun through Slurm.", _JOB),
    "save_grace_s": ("Grace for a run", "Seconds that a run has to end once its session must.", ()),
    "detached_reads": ("Reads of detached runs", "What becomes of a cell that reads what a detached run may still change.", ()),
    "confirm_bytes": ("Asked about from", "A cell that would send more than this is asked about, such as 2GB.", ()),
    "ssh": ("ssh", "The ssh command line, to which farcell adds its options.", _REMOTE),
    "ssh_persist_s": ("Shared connection", "Seconds the shared connection stays open without use.", _REMOTE),
}
"""In the order of a form: title, words, and the backends that use it (all where none is named)."""


@lru_cache(1)
def target_schema() -> TargetSchema:
    schema = Target.model_json_schema()
    backends = [name for name in backend_names() if name != "local-attach"]
    properties: dict[str, Any] = {}
    for name, (title, description, uses) in FORM.items():
        properties[name] = {**schema["properties"][name], "title": title, "description": description}
        if uses:
            properties[name]["x-backends"] = list(uses)
        if name in infinite_keys():
            properties[name] = _or_infinite(properties[name])
    properties["backend"]["enum"] = backends
    whole = {**schema, "title": "Target", "properties": properties}
    whole.pop("description", None)
    whole["required"] = [name for name in schema.get("required", ()) if name != "name"]
    return TargetSchema(json_schema=whole, backends=backends, order=list(FORM), builtin=list(BUILTIN))


@lru_cache(1)
def infinite_keys() -> frozenset[str]:
    """Those that may be `inf`: spans of seconds."""
    return frozenset(name for name, field in Target.model_fields.items() if field.annotation is float and name.endswith("_s"))


def _or_infinite(schema: dict[str, Any]) -> dict[str, Any]:
    outer = ("title", "description", "default", "x-backends")
    number = {key: value for key, value in schema.items() if key not in outer}
    return {**{key: schema[key] for key in outer if key in schema}, "anyOf": [number, {"const": INFINITE, "type": "string"}]}
