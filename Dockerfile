# The project in a container, for a user without privileges; docs/cluster.md has the commands.
#   docker build -t endoscopy-msn .                       CPU
#   docker build -t endoscopy-msn:gpu --build-arg DEVICE=gpu .
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
ARG DEVICE=cpu

WORKDIR /app
COPY requirements.lock .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
# The exact TensorFlow of the lock file, with the CUDA packages that it asks for.
RUN if [ "$DEVICE" = gpu ]; then pip install --no-cache-dir --disable-pip-version-check \
    "tensorflow[and-cuda]==$(sed -n 's/^tensorflow==\([0-9.]*\).*/\1/p' requirements.lock)"; fi

COPY . .
RUN useradd --create-home --uid 1000 msn && mkdir /work && chown msn /work && chmod 1777 /work
USER msn
# Data, runs and caches are in volumes; the number of the user may be another one.
ENV HOME=/work XDG_CACHE_HOME=/work/.cache PYTHONDONTWRITEBYTECODE=1
VOLUME /work
ENTRYPOINT ["python"]
CMD ["-m", "msn.doctor"]
