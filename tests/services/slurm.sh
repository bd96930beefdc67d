#!/usr/bin/env bash
# A private Slurm cluster on loopback for tests: munged, slurmctld and several slurmd on this one machine. Needs root (slurmd does), a
# cgroup mount (slurmd ends without one) and mknod. Nothing under /etc/slurm or /etc/munge is read or changed, no systemd is needed.
#
#   slurm.sh start  DIR        start what does not run (idempotent), and wait until all nodes take jobs
#   slurm.sh stop   DIR        stop it, and every job
#   slurm.sh pids   DIR        all daemons, job steps and processes of jobs
#   slurm.sh left   DIR        processes of jobs only
#   slurm.sh kill-node  DIR N  SIGKILL slurmd of node N: its jobs live on
#   slurm.sh crash-node DIR N  SIGKILL slurmd and all its jobs: a node that loses power
#   slurm.sh start-node DIR N  start it again, and wait until it takes jobs
#   slurm.sh kill-ctl   DIR    end slurmctld: a controller outage, until `start`
#
# DIR must be reachable for everybody who runs sbatch or srun (no 0700 folder above it), who needs SLURM_CONF=DIR/etc/slurm.conf.
# Environment, read at start when the controller does not run:
#   SLURM_NODES  number of nodes gpu1..gpuN (2)    SLURM_NODE_CPUS  CPUs that each claims   (8)
#   SLURM_GPUS   GPUs of each node          (2)    SLURM_EXTRA      more slurm.conf lines
set -euo pipefail
die() { echo "slurm.sh: $*" >&2; exit 1; }
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$HERE/processes.sh"

[ $# -ge 2 ] || die "usage: slurm.sh start|stop|pids|left|kill-node|crash-node|start-node|kill-ctl DIR [NODE]"
[ -d "$2" ] || { [ "$1" != start ] && exit 0 || mkdir -p "$2"; }
DIR=$(cd "$2" && pwd -P)
case $DIR in *[[:space:]]*) die "no blanks in DIR" ;; esac
[ ${#DIR} -le 80 ] || die "DIR is too long: a socket's path under it may have 107 bytes"
export SLURM_CONF=$DIR/etc/slurm.conf
READY='^(idle|mixed|allocated|completing)$'

munged_pid() { alive "$DIR/munge/munged.pid" "$DIR/munge/munge.key"; }
controller_pid() { alive "$DIR/run/slurmctld.pid" "$SLURM_CONF"; }
node_pid() { alive "$DIR/run/slurmd.$1.pid" "$SLURM_CONF"; }
nodes() { cat "$DIR/nodes" 2>/dev/null || true; }
steps() { # the slurmstepd of node $1, or of all nodes
    local pid links
    for pid in $(ps -eo pid=,comm= | awk '$2 == "slurmstepd" { print $1 }'); do
        # Known by the log they hold open: they clear their environment and write their own title.
        links=$(readlink "/proc/$pid"/fd/* 2>/dev/null || true)
        if grep -qE "^$DIR/log/slurmd\.${1:-[^/]*}\.log\$" <<<"$links"; then echo "$pid"; fi
    done
}
of_jobs() { # the processes of jobs on node $1, or on all nodes
    local pid node
    for pid in $(steps "${1:-}"); do descendants "$pid"; done
    for node in ${1:-$(nodes)}; do with_variables "SLURM_CONF=$SLURM_CONF" "SLURMD_NODENAME=$node"; done
}
free_ports() { # the first of $1 ports in a row on which nobody listens
    local first port
    for _ in $(seq 100); do
        first=$((20000 + RANDOM % 12000))
        for port in $(seq $first $((first + $1 - 1))); do
            if listening 127.0.0.1 "$port"; then continue 2; fi
        done
        echo $first
        return
    done
    die "no free ports found"
}
write_slurm_conf() {
    local count=${SLURM_NODES:-2} gpus=${SLURM_GPUS:-2} port host i
    [ -s "$DIR/port" ] || free_ports $((count + 1)) >"$DIR/port"
    port=$(cat "$DIR/port")
    host=$(hostname -s)
    for i in $(seq "$count"); do echo "gpu$i"; done >"$DIR/nodes"
    {
        cat <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$DIR/sockets/munge,cred_expire=5
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmdPidFile=$DIR/run/slurmd.%n.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=5
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$DIR/jobcomp.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
# More CPUs than the machine has.
SlurmdParameters=config_overrides
# A node that was down is used again as soon as it says that it is there.
ReturnToService=2
# Faults show within seconds, not minutes.
SlurmctldTimeout=30
SlurmdTimeout=15
MessageTimeout=5
TCPTimeout=2
KillWait=5
# How long an ended job can be asked for.
MinJobAge=300
InactiveLimit=0
BatchStartTimeout=10
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_min_interval=100000,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
${SLURM_EXTRA:-}
CONF
        for i in $(seq "$count"); do
            echo "NodeName=gpu$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=${SLURM_NODE_CPUS:-8} RealMemory=8000" \
                "Gres=gpu:h100:$gpus State=UNKNOWN"
        done
        cat <<CONF
PartitionName=gpu   Nodes=ALL Default=YES PriorityTier=10 PreemptMode=OFF DefaultTime=60 MaxTime=1-0 State=UP
PartitionName=debug Nodes=ALL PriorityTier=10 PreemptMode=OFF DefaultTime=1 MaxTime=2 State=UP
PartitionName=low   Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=5 DefaultTime=60 MaxTime=1-0 State=UP
CONF
    } >"$SLURM_CONF"
    # CUDA_VISIBLE_DEVICES is set only where GPUs are device files: with a mere count the node is drained, with plain files the variable
    # is empty. These are /dev/null under other names.
    mkdir -p "$DIR/dev"
    for i in $(seq 0 $((gpus - 1))); do
        [ -c "$DIR/dev/nvidia$i" ] || mknod -m 666 "$DIR/dev/nvidia$i" c 1 3
    done
    echo "NodeName=gpu[1-$count] Name=gpu Type=h100 File=$DIR/dev/nvidia[0-$((gpus - 1))]" >"$DIR/etc/gres.conf"
    echo "CgroupAutomount=no" >"$DIR/etc/cgroup.conf"
    chmod 644 "$DIR"/etc/*
}
start_munged() {
    ! munged_pid >/dev/null || return 0
    [ -s "$DIR/munge/munge.key" ] || (umask 077 && head -c 128 /dev/urandom >"$DIR/munge/munge.key")
    rm -f "$DIR"/sockets/munge*
    # --force: /tmp, above DIR, is writable for others
    munged --force --key-file="$DIR/munge/munge.key" --socket="$DIR/sockets/munge" --pid-file="$DIR/munge/munged.pid" \
        --log-file="$DIR/munge/munged.log" --seed-file="$DIR/munge/munged.seed" --num-threads=2 \
        >"$DIR/munge/start.log" 2>&1 </dev/null || die "munged: $(cat "$DIR/munge/start.log")"
}
start_controller() {
    ! controller_pid >/dev/null || return 0
    slurmctld -f "$SLURM_CONF" >"$DIR/log/start.controller.log" 2>&1 </dev/null || die "slurmctld: $(cat "$DIR/log/start.controller.log")"
}
start_node() {
    ! node_pid "$1" >/dev/null || return 0
    mkdir -p "$DIR/spool/$1"
    slurmd -f "$SLURM_CONF" -N "$1" >"$DIR/log/start.$1.log" 2>&1 </dev/null || die "slurmd $1: $(cat "$DIR/log/start.$1.log")"
}
await_nodes() { # the nodes $@ take jobs
    local names turn node
    names=$(IFS=,; echo "$*")
    for turn in $(seq 300); do
        if [ "$(timeout 5 sinfo -h -N -p gpu -n "$names" -o '%T' 2>/dev/null | grep -cE "$READY")" = $# ]; then return 0; fi
        if [ $((turn % 20)) = 10 ]; then # what was drained stays so over a restart
            for node in $(timeout 5 sinfo -h -N -p gpu -n "$names" -t drain,down -o '%N' 2>/dev/null | sort -u); do
                timeout 5 scontrol update "nodename=$node" state=resume >/dev/null 2>&1 || true
            done
        fi
        sleep 0.1
    done
    die "nodes take no jobs: $(sinfo -N -o '%N %T %E' 2>&1)"
}
start() {
    local node
    [ "$(id -u)" = 0 ] || die "needs root"
    mkdir -p "$DIR"/{etc,log,run,spool,sockets,state,munge}
    chmod 755 "$DIR" "$DIR"/{etc,log,run,spool,sockets}
    chmod 700 "$DIR"/{munge,state}
    : >>"$DIR/jobcomp.txt"
    controller_pid >/dev/null || write_slurm_conf
    start_munged
    start_controller
    for node in $(nodes); do start_node "$node"; done
    await_nodes $(nodes)
}
stop() {
    local pid node jobs
    if pid=$(controller_pid); then end "$pid"; fi # first, so that nobody starts further jobs
    # Killed at once: a slurmstepd that sees its job end would try to tell the controller.
    jobs=$(steps; of_jobs)
    [ -z "$jobs" ] || kill -KILL $jobs 2>/dev/null || true
    end $jobs
    for node in $(nodes); do
        if pid=$(node_pid "$node"); then end "$pid"; fi
    done
    if pid=$(munged_pid); then end "$pid"; fi
    rm -f "$DIR"/run/*.pid
}
pids() {
    local node
    munged_pid || true
    controller_pid || true
    for node in $(nodes); do node_pid "$node" || true; done
    steps
    of_jobs
}
crash_node() {
    local daemons
    daemons=$(node_pid "$1") || die "$1 does not run"
    daemons+=" $(steps "$1")"
    # Stopped first: a slurmstepd that sees its task end reports it, which a node without power does not.
    kill -STOP $daemons 2>/dev/null || true
    kill -KILL $(of_jobs "$1") $daemons 2>/dev/null || true
}
case $1 in
start) start ;;
stop) stop ;;
pids) pids | sort -nu ;;
left) of_jobs | sort -nu ;;
kill-node) pid=$(node_pid "${3:?a node is missing}") || die "$3 does not run"; kill -KILL "$pid" ;;
crash-node) crash_node "${3:?a node is missing}" ;;
start-node) start_node "${3:?a node is missing}"; await_nodes "$3" ;;
kill-ctl)
    pid=$(controller_pid) || die "slurmctld does not run"
    kill -TERM "$pid" # it writes down what it knows: one that crashes forgets jobs of the last seconds, and ends them later
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    ;;
*) die "unknown verb $1" ;;
esac
