# syntax=docker/dockerfile:1
# The wheel is built with a compiler, the image that runs has none.
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY tracestore tracestore
COPY traceql traceql
RUN python -m venv /opt/tracestore && /opt/tracestore/bin/pip install --no-cache-dir .

FROM python:3.11-slim
LABEL org.opencontainers.image.title="tracestore" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 tracestore && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin tracestore \
    && mkdir -p /var/tracestore /conf && chown 10001:10001 /var/tracestore
COPY --from=build /opt/tracestore /opt/tracestore
ENV PATH=/opt/tracestore/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/tracestore
VOLUME /var/tracestore
# API and streaming, gRPC, OTLP gRPC and HTTP, Zipkin, Jaeger
EXPOSE 3200 9095 4317 4318 9411 14250 14268
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["tracestore", "-health"]
ENTRYPOINT ["tracestore"]
CMD ["serve"]
