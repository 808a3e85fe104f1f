"""What a container took: read inside at its end, from its control group, which is gone afterwards."""

from builders.engines.engine import Usage

MEASURES = (
    "/sys/fs/cgroup/cpuacct/cpuacct.usage",
    "/sys/fs/cgroup/memory/memory.max_usage_in_bytes",
    "/proc/self/cgroup",
    "/sys/fs/cgroup/cpu.stat",
    "/sys/fs/cgroup/memory.peak",
)
"""Of control groups 1 and 2: https://docs.kernel.org/admin-guide/cgroup-v2.html."""

ACCOUNTED = f"""
"$@"
code=$?
for file in {" ".join(MEASURES)}; do
    [ ! -r $file ] || while read -r words; do echo "$file $words"; done <$file
done >"$0"
exit $code
"""
"""A shell script: runs its arguments, and writes what the container took to the file it is called by (``$0``)."""


def read_usage(text: str) -> Usage:
    """Read what `ACCOUNTED` wrote; what is no number is not known."""
    figures: dict[str, int] = {}
    own = False
    for line in text.splitlines():
        match line.split():
            case ["/proc/self/cgroup", "0::/"]:
                own = True
            case [*names, number] if number.isdecimal():
                figures[" ".join(names).removeprefix("/sys/fs/cgroup/")] = int(number)
            case _:
                pass
    cpu = figures.get("cpuacct/cpuacct.usage", 0) / 1e9
    memory = figures.get("memory/memory.max_usage_in_bytes", 0)
    if own:  # else these are the machine's figures, not the container's
        cpu = cpu or figures.get("cpu.stat usage_usec", 0) / 1e6
        memory = memory or figures.get("memory.peak", 0)
    return Usage(cpu=round(cpu, 3) or None, memory=memory or None)
