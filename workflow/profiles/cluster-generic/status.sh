#!/bin/sh
# What became of the job with the id $1: running, success or failed. A job that has left the queue
# without leaving its exit status (see job.sh) was killed.
id=${1%%.*}
word=.snakemake/cluster-generic/$id

ended() {
  [ -s "$word" ] && if [ "$(cat "$word")" = 0 ]; then echo success; else echo failed; fi
}

queued() {
  if command -v qstat; then
    qstat -j "$id" || qstat "$id" # Grid Engine, PBS
  else
    squeue --noheader --jobs "$id" | grep . # Slurm
  fi > /dev/null 2>&1
}

if ended; then
  exit
elif queued; then
  echo running
else
  sleep 10 # its word may be on its way through the file system
  ended || echo failed
fi
