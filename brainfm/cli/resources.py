"""CPUs and memory available to this job, from affinity, Slurm and control groups."""

import os
import re
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def available_cpus(environment=os.environ, *, cgroups=_CGROUPS):
    """Count the CPUs available to this process.

    Parameters
    ----------
    environment : mapping of str to str
    cgroups : Path
        Root of the control groups.

    Returns
    -------
    n_cpus : int
        The smallest of the scheduling affinity, ``SLURM_CPUS_PER_TASK`` and the CPU quota of the
        control group; at least 1.
    """
    of_slurm = _whole_number(environment.get("SLURM_CPUS_PER_TASK", ""))
    limits = [len(os.sched_getaffinity(0)), of_slurm, _cgroup_cpus(cgroups)]
    return max(1, min(limit for limit in limits if limit is not None))


def memory_limit_gb(environment=os.environ, *, cgroups=_CGROUPS):
    """Return the memory available to this process.

    Parameters
    ----------
    environment : mapping of str to str
    cgroups : Path
        Root of the control groups.

    Returns
    -------
    memory_gb : float
        In GB (1e9 bytes): the smallest of ``SLURM_MEM_PER_NODE`` or ``SLURM_MEM_PER_CPU`` times
        the CPUs, the limit of the control group, and the memory of the machine.
    """
    import psutil

    limits = [psutil.virtual_memory().total, _slurm_bytes(environment), _cgroup_bytes(cgroups)]
    return min(filter(None, limits)) / 1e9


def _cgroup_cpus(cgroups):
    quotas = [_read(folder / "cpu.max") for folder in _own_cgroups(cgroups)]
    first = cgroups / "cpu"
    quotas.append(f"{_read(first / 'cpu.cfs_quota_us')} {_read(first / 'cpu.cfs_period_us')}")
    found = [[int(word) for word in text.split()] for text in quotas if text[:1].isdigit()]
    return min((quota // period for quota, period in found), default=None)


def _cgroup_bytes(cgroups):
    files = [folder / "memory.max" for folder in _own_cgroups(cgroups)]
    files.append(cgroups / "memory" / "memory.limit_in_bytes")
    return min(filter(None, [_whole_number(_read(file)) for file in files]), default=None)


def _slurm_bytes(environment):
    names = ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_PER_TASK")
    per_node, per_cpu, n_cpus = (_whole_number(environment.get(name, "")) for name in names)
    return (per_node or (per_cpu or 0) * (n_cpus or 1)) * 2**20  # Slurm gives MiB


def _own_cgroups(cgroups):
    """Return the control groups of this process, from its own up to the root (version 2)."""
    own = re.search(r"^0::/(.*)", _read(Path("/proc/self/cgroup")), re.MULTILINE)
    folder = cgroups / (own[1] if own else "")
    return [one for one in (folder, *folder.parents) if one.is_relative_to(cgroups)]


def _whole_number(text):
    return int(text) if text.strip().isdigit() else None


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return ""
