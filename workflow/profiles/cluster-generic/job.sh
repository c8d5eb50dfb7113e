#!/bin/sh
# Runs a job's script and leaves its exit status where status.sh looks for it: accounting, which
# would know, is not everywhere, and late where it is. What a failed job said lies beside it.
cd "${PBS_O_WORKDIR:-.}" || exit # where PBS leaves a job in its home
id=${JOB_ID:-${PBS_JOBID:-$SLURM_JOB_ID}} # Grid Engine, PBS, Slurm
word=.snakemake/cluster-generic/${id%%.*}
mkdir -p "${word%/*}"
rm -f "$word" # of an older job with the same id
sh "$1" > "$word.log" 2>&1
status=$?
[ "$status" != 0 ] || rm "$word.log"
echo "$status" > "$word.new" && mv "$word.new" "$word"
exit "$status"
