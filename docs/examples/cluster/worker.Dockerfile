# A machine of a cluster: this project at one commit, with all that it installs.
ARG BASE=docker.io/library/debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -q && apt-get install -qy --no-install-recommends \
        bubblewrap ca-certificates libseccomp2 python3 python3-venv qemu-user-static util-linux && \
    rm -rf /var/lib/apt/lists/*
COPY . /project
RUN cd /project && ./inv --version && \
    .venv/bin/python -m pip install --quiet --require-hashes -r requirements-cluster.txt && \
    cp requirements-cluster.txt .venv/installed-cluster.txt
ENTRYPOINT ["/project/inv"]
