# Read by the shell of every job, also of one on a cluster, before its command.

# The modules that run are this tree's.
PYTHONPATH=${BASH_SOURCE[0]%/*}${PYTHONPATH:+:$PYTHONPATH}
# Its texts and prints are UTF-8, whatever the locale.
export PYTHONUTF8=1
unset PYTHONIOENCODING
# These keep glibc from giving each large tensor back to the system and asking for it again: a fifth
# of a training's time.
export PYTHONPATH MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296

# At a SIGTERM to all its processes a job ends in order: the shell waits for it.
trap : TERM

# What a job cannot say itself: that it was killed (137) or aborted (134, as by std::bad_alloc), and
# that its log, too, is on a full disk (74 of ndsm.artefacts.files, 120 of Python).
last_words() {
    case $? in
        134 | 137) echo "error: the job was killed, most likely for want of memory:" \
            "set a smaller replicas_per_job, batch or number of samples, or give it more mem_mb" ;;
        74 | 120) echo "error: the job cannot write its result or its log:" \
            "free space or make the folder writable, then run Snakemake again" ;;
    esac >&2
}
trap last_words EXIT
