# The study in a container; docs/installation.md says how to run it with Docker and Apptainer.
FROM python:3.11-slim-bookworm

WORKDIR /study
COPY envs envs
# The CPU build of torch: the usual one comes with several GB of CUDA libraries.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu --no-deps \
        "$(grep -o '^torch==[^ ]*' envs/requirements.txt)" \
    && pip install --no-cache-dir --requirement envs/requirements.txt

COPY . .
ENV PYTHONUTF8=1
ENTRYPOINT ["snakemake"]
CMD ["--cores", "all"]
