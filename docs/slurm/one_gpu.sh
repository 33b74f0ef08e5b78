#!/bin/bash
# One process, one GPU:
#   sbatch docs/slurm/one_gpu.sh -m msn.train --config=configs/msn_vits16.py --workdir=runs/msn \
#       --config.data.root=/data/cholec80
#SBATCH --job-name=msn
#SBATCH --nodes=1 --ntasks=1 --gpus=1 --cpus-per-task=8 --mem=64G
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@180      # to srun's processes, before the time is over: they save, and end with 75
#SBATCH --requeue --open-mode=append
set -u

srun "${PYTHON:-.venv/bin/python}" "$@"
code=$?
if [ "$code" -eq 75 ]; then  # stopped and saved: the same command goes on
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
