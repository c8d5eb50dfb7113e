"""A Slurm of one node in a scratch folder, with two pretended graphics cards and no accounting.

By hand, as root:  python tests/one_node_slurm.py snakemake --workflow-profile …
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
SECONDS = 60  # within which the node must be there

# A node's name is not looked up, so a machine without a name service will do. The overrides let it
# promise what the machine may not have; the "cards" are terminals, which nothing opens.
CONF = """
ClusterName=scratch
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2,default_queue_depth=1000
MinJobAge=86400
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES State=UP
PartitionName=short Nodes=ALL State=UP
"""
SRUN = """#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


def missing() -> str:
    """Why no Slurm can be started here; empty if one can."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    absent = [name for name in (*DAEMONS, "sbatch") if not shutil.which(name, path=path)]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurm-wlm munge"
    return "Slurm's daemons want root" if os.geteuid() else ""


@contextmanager
def slurm(cpus: int = os.cpu_count() or 1) -> Iterator[dict[str, str]]:
    """Starts the daemons, gives the environment of their clients, and stops what it started."""
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-"))
        folder, host = Path(name), socket.gethostname().partition(".")[0]
        ports = [stack.enter_context(socket.socket()) for _ in range(2)]
        for port in ports:
            port.bind(("127.0.0.1", 0))
        numbers = [port.getsockname()[1] for port in ports]
        for port in ports:
            port.close()
        conf = CONF.format(folder=folder, host=host, ports=numbers, cpus=cpus)
        (folder / "slurm.conf").write_text(conf)
        (folder / "gres.conf").write_text("Name=gpu File=/dev/tty[0-1]\n")
        (folder / "state").mkdir()
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        # Snakemake's plugin takes SLURM_CONF from the environment of the srun within a job.
        (folder / "bin").mkdir()
        (folder / "bin" / "srun").write_text(SRUN.format(folder=folder, srun=shutil.which("srun")))
        (folder / "bin" / "srun").chmod(0o755)
        env["PATH"] = os.pathsep.join([str(folder / "bin"), env["PATH"], "/usr/sbin"])
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed"}
        munge = [f"--{option}={folder}/munge.{file}" for option, file in files.items()]
        munge += [f"--log-file={folder}/munge.log", "--force", "--foreground"]
        for command in (["munged", *munge], ["slurmctld", "-D"], ["slurmd", "-D"]):
            log = stack.enter_context((folder / f"{command[0]}.out").open("w"))
            daemon = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(_stop, daemon)
            if command[0] == "munged":
                _wait(lambda: (folder / "munge.socket").exists(), folder)
        sinfo = ["sinfo", "--noheader", "--format=%T"]
        _wait(
            lambda: "idle" in subprocess.run(sinfo, env=env, capture_output=True, text=True).stdout,
            folder,
        )
        stack.callback(subprocess.run, ["scancel", "--user=root"], env=env, check=False)
        yield env


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(20)
    except subprocess.TimeoutExpired:
        daemon.kill()


def _wait(ready, folder: Path) -> None:  # noqa: ANN001
    """Waits until ``ready()``; after too long the daemons' words are the error."""
    end = time.monotonic() + SECONDS
    while not ready():
        if time.monotonic() > end:
            said = "\n".join(path.read_text()[-2000:] for path in sorted(folder.glob("*.out")))
            raise TimeoutError(f"no idle node within {SECONDS} s:\n{said}")
        time.sleep(0.2)


if __name__ == "__main__":
    if reason := missing():
        sys.exit(reason)
    with slurm() as environment:
        sys.exit(subprocess.run(sys.argv[1:], env=environment).returncode)
