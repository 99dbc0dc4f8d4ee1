# One image for API, worker and migrations: `docker run janus-mail api | worker | migrate | …`
# Python's minor version and Debian's release are fixed; their security updates come with `docker compose build --pull`.
FROM python:3.12-slim-trixie AS build
WORKDIR /source
RUN python -m venv /opt/janus
# The dependencies first: they change less often than the code.
COPY pyproject.toml constraints.txt ./
RUN /opt/janus/bin/python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" > /tmp/requirements.txt \
    && /opt/janus/bin/pip install --no-cache-dir --constraint constraints.txt --requirement /tmp/requirements.txt
COPY README.md LICENSE ./
COPY alembic alembic
COPY src src
RUN /opt/janus/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim-trixie
RUN groupadd --gid 10001 janus \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin janus
# Owned by root: whoever takes over the process cannot change the program.
COPY --from=build /opt/janus /opt/janus
ENV PATH=/opt/janus/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    JANUS_HOST=0.0.0.0
# In numbers: an orchestrator that wants proof that this is not root cannot read names.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('PORT', '8000') + '/readyz', timeout=4)"]
ENTRYPOINT ["janus"]
CMD ["api"]
