#!/bin/bash
# A process for each GPU, on several nodes; all see the same --workdir and the same data:
#   sbatch docs/slurm/several_nodes.sh -m msn.train --config=configs/msn_vitl16.py \
#       --workdir=/shared/runs/msn --config.data.root=/shared/cholec80
#SBATCH --job-name=msn
#SBATCH --nodes=2 --ntasks-per-node=4 --gpus-per-task=1 --cpus-per-task=8 --mem-per-cpu=8G
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@180      # to srun's processes, before the time is over: they save, and end with 75
#SBATCH --requeue --open-mode=append
set -u

srun --kill-on-bad-exit=0 "${PYTHON:-.venv/bin/python}" "$@" --config.strategy=multi_worker
code=$?
if [ "$code" -eq 75 ]; then  # stopped and saved: the same command goes on
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
