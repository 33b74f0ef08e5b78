#!/bin/bash
# The cells of a comparison, or the videos of inference.py, shared by the tasks of an array; the last to
# end writes the page, or the table:
#   sbatch docs/slurm/cells.sh down_stream/main.py --config=configs/encoder_comparison.py \
#       --config.data.root=/shared/cholec80 --workdir=/shared/runs/comparison
#SBATCH --job-name=cells
#SBATCH --array=1-8
#SBATCH --nodes=1 --ntasks=1 --gpus=1 --cpus-per-task=8 --mem=64G
#SBATCH --time=08:00:00
#SBATCH --signal=USR1@180      # to srun's processes, before the time is over: they save, and end with 75
#SBATCH --requeue --open-mode=append
set -u

srun "${PYTHON:-.venv/bin/python}" "$@" --shard="$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
code=$?
if [ "$code" -eq 75 ]; then  # stopped, and what is done is kept: the same command goes on
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
