"""CPUs and memory available to this job, from affinity, Slurm and control groups."""

import os
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
    limits = [len(os.sched_getaffinity(0))]
    if environment.get("SLURM_CPUS_PER_TASK", "").isdigit():
        limits.append(int(environment["SLURM_CPUS_PER_TASK"]))
    quota = _cpu_quota(cgroups)
    if quota:
        limits.append(int(quota))
    return max(1, min(limits))


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

    limits = [psutil.virtual_memory().total]
    limits += [value for value in (_slurm_bytes(environment), _cgroup_bytes(cgroups)) if value]
    return min(limits) / 1e9


def _cpu_quota(cgroups):
    for folder in _own_cgroups(cgroups):
        words = _read(folder / "cpu.max").split()
        if len(words) == 2 and words[0] != "max":
            return max(1, int(words[0]) // int(words[1]))
    quota = _read(cgroups / "cpu" / "cpu.cfs_quota_us").strip()
    period = _read(cgroups / "cpu" / "cpu.cfs_period_us").strip()
    if quota.isdigit() and period.isdigit():
        return max(1, int(quota) // int(period))
    return None


def _cgroup_bytes(cgroups):
    files = [folder / "memory.max" for folder in _own_cgroups(cgroups)]
    files.append(cgroups / "memory" / "memory.limit_in_bytes")
    found = [int(text) for file in files if (text := _read(file).strip()).isdigit()]
    return min(found) if found else None


def _slurm_bytes(environment):
    per_node = environment.get("SLURM_MEM_PER_NODE", "")
    per_cpu = environment.get("SLURM_MEM_PER_CPU", "")
    if per_node.isdigit() and int(per_node):
        return int(per_node) * 2**20  # Slurm gives MiB
    if per_cpu.isdigit():
        n_cpus = environment.get("SLURM_CPUS_PER_TASK", "1")
        return int(per_cpu) * 2**20 * (int(n_cpus) if n_cpus.isdigit() else 1)
    return None


def _own_cgroups(cgroups):
    """Yield the control groups of this process, from its own up to the root (version 2)."""
    own = next(
        (line[3:] for line in _read(Path("/proc/self/cgroup")).splitlines() if line[:3] == "0::"),
        "/",
    )
    folder = Path(cgroups) / own.lstrip("/")
    while folder != Path(cgroups):
        yield folder
        folder = folder.parent
    yield Path(cgroups)


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return ""
