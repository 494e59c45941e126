# brainfm as a BIDS App. The base image brings fMRIPrep and its tools; brainfm lives in an
# environment of its own beside them, so that neither changes the other's packages.
ARG BASE=nipreps/fmriprep:25.2.3
FROM ${BASE}

USER root
ARG PYTHON=python3
# For instance https://download.pytorch.org/whl/cpu, for an image without GPU libraries.
ARG PIP_EXTRA_INDEX_URL

# Nothing is looked up in HOME: caches of libraries go to the temporary folder, and fMRIPrep finds
# the templates of its image. Importing templateflow below makes their folder where a base has
# none; a read-only image could not.
ENV OMP_NUM_THREADS=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba \
    MNE_DONTWRITE_HOME=true \
    NO_ET=1 \
    PYTHONNOUSERSITE=1 \
    TEMPLATEFLOW_HOME=/home/fmriprep/.cache/templateflow \
    TEMPLATEFLOW_USE_DATALAD=0

COPY constraints.txt setup.cfg pyproject.toml README.md LICENSE NOTICE /opt/brainfm-src/
COPY brainfm /opt/brainfm-src/brainfm
RUN ${PYTHON} -m venv /opt/brainfm \
 && /opt/brainfm/bin/python -m pip install --no-cache-dir --upgrade pip \
 && /opt/brainfm/bin/python -m pip install --no-cache-dir -c /opt/brainfm-src/constraints.txt \
      torch==2.13.0 /opt/brainfm-src \
 && /opt/brainfm/bin/brainfm --version > /version \
 && /opt/brainfm/bin/python -W ignore -c 'import templateflow' \
 && chmod a+rx /home/fmriprep /home/fmriprep/.cache \
 && rm -rf /opt/brainfm-src \
 && chmod -R a+rX /opt/brainfm

ENTRYPOINT ["/opt/brainfm/bin/brainfm"]
