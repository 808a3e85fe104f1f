#!/bin/sh
# One task for each target; what they make comes together in a folder that all nodes see. From the project's directory:
#   job=$(sbatch --parsable docs/examples/store/array.sh)
#   sbatch --dependency="afterok:$job" --wrap "./inv build --target all --store file://$HOME/fromscratch-store"
# The builder key lies in the home directory, which all nodes have: they are one builder.
#SBATCH --job-name=fromscratch
#SBATCH --array=0-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=12G
#SBATCH --time=02:00:00
set -eu

set -- linux/amd64 linux/arm64 linux/arm/v7 linux/arm/v6 linux/386 linux/riscv64 linux/ppc64le linux/s390x linux/loong64
shift "$SLURM_ARRAY_TASK_ID"

# The cache is the node's own, and goes with the task; what is worth keeping is in the store by then.
FROMSCRATCH_CACHE=$(mktemp -d "${TMPDIR:-/tmp}/fromscratch.XXXXXX")
FROMSCRATCH_ARTIFACTS=$FROMSCRATCH_CACHE/artifacts
FROMSCRATCH_JOBS=${SLURM_CPUS_PER_TASK:-1}
FROMSCRATCH_STORE=${FROMSCRATCH_STORE:-file://$HOME/fromscratch-store}
export FROMSCRATCH_CACHE FROMSCRATCH_ARTIFACTS FROMSCRATCH_JOBS FROMSCRATCH_STORE
trap 'rm -rf "$FROMSCRATCH_CACHE"' EXIT

products=$(./inv list --json |
    jq --raw-output --arg target "$1" '.[] | select(.unsupported[$target] == null).product')
# shellcheck disable=SC2086
./inv build --exact --target "$1" $products
