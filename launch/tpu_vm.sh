#!/usr/bin/env bash
# Trains on a Cloud TPU slice that a queued resource holds; one process on every worker of the slice.
#
# usage: launch/tpu_vm.sh [--print] COMMAND [FLAGS]
#   create   queue the request            needs TYPE VERSION; SPOT=1 asks for spot capacity
#   status   print its state
#   wait     return when it is ACTIVE, fail when it cannot become so
#   setup    copy the committed tree to every worker and install it
#   run      start training on every worker, detached; FLAGS go to jaxgen.main; needs CONFIG WORKDIR
#   logs     follow the log of worker $WORKER (0)
#   stop     ask every worker to save and exit
#   delete   release the slice and the request
# All need NAME and ZONE. --print shows the commands and runs nothing.
# Keeps to the bash 3.2 of macOS: no ${x@Q}, no mapfile, no possibly empty arrays.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  echo "tpu_vm.sh: $1" >&2
  exit 2
}

need() { # VARIABLE EXAMPLE
  [[ -n ${!1:-} ]] || die "set $1, for example $1=$2"
}

quote() { # the words as one line, which any POSIX shell reads back as the same words
  local word line="" mark="'" escaped="'\\''"
  for word; do
    [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word="$mark${word//$mark/$escaped}$mark"
    line+="${line:+ }$word"
  done
  printf '%s\n' "$line"
}

execute() {
  if [[ -n $print ]]; then quote "$@"; else "$@"; fi
}

on_worker() { # WORKER REMOTE_COMMAND
  execute gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker="$1" --command="$2"
}

state() {
  execute gcloud compute tpus queued-resources describe "$NAME" --zone="$ZONE" \
    --format='value(state.state)'
}

wait_until_active() {
  local now
  if [[ -n $print ]]; then
    echo "# every 30 s, until it prints ACTIVE:"
    state
    return
  fi
  while now=$(state); do
    echo "$NAME: $now"
    case $now in
      ACTIVE) return ;;
      FAILED | SUSPENDING | SUSPENDED | DELETING) die "$NAME is $now: delete it, then create" ;;
    esac
    sleep 30
  done
  die "cannot read the state of $NAME in $ZONE"
}

setup() {
  local tarball="${TMPDIR:-/tmp}/jaxgen-$NAME.tar.gz"
  execute git archive --format=tar.gz --output="$tarball" HEAD
  execute gcloud compute tpus tpu-vm scp "$tarball" "$NAME:jaxgen.tar.gz" --zone="$ZONE" --worker=all
  # uv brings the Python: TPU images are still at 3.10.
  on_worker all "mkdir -p jaxgen && tar -xzf jaxgen.tar.gz -C jaxgen && cd jaxgen && \
python3 -m pip install --quiet --user uv && python3 -m uv venv --allow-existing --python 3.12 .venv && \
python3 -m uv pip install -e '.[tpu]'"
}

train() {
  local line
  line=$(quote python -u -m jaxgen.main --config="$CONFIG" --workdir="$WORKDIR" --distributed=auto "$@")
  # Detached, so that a lost connection does not end the run.
  on_worker all "cd jaxgen && . .venv/bin/activate && \
{ nohup $line >>jaxgen.log 2>&1 </dev/null & }"
}

print=
if [[ ${1:-} == --print ]]; then
  print=1
  shift
fi
command=${1:-}
[[ $# -eq 0 ]] || shift
[[ $command == run || $# -eq 0 ]] || die "$command takes no arguments, got $*"
case $command in
  create | status | wait | setup | run | logs | stop | delete) ;;
  *) die "expected create, status, wait, setup, run, logs, stop or delete, got '$command'" ;;
esac
need NAME glow
need ZONE us-east5-b

case $command in
  create)
    need TYPE v6e-16
    need VERSION v2-alpha-tpuv6e
    execute gcloud compute tpus queued-resources create "$NAME" --node-id="$NAME" --zone="$ZONE" \
      --accelerator-type="$TYPE" --runtime-version="$VERSION" ${SPOT:+--spot}
    ;;
  status) state ;;
  wait) wait_until_active ;;
  setup) setup ;;
  run)
    need CONFIG configs/glow.py:cifar10
    need WORKDIR /mnt/runs/glow # a directory that every worker sees
    train "$@"
    ;;
  logs) on_worker "${WORKER:-0}" "tail -n 100 -F jaxgen/jaxgen.log" ;;
  stop) on_worker all "pkill -TERM -f '[j]axgen.main'" ;; # the brackets keep pkill from matching its own shell
  delete)
    execute gcloud compute tpus queued-resources delete "$NAME" --zone="$ZONE" --force --quiet
    ;;
esac
