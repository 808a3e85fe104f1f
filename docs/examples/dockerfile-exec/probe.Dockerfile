# The same app, checked by the probe: one line that says what was seen, and 0 or 1.
#
#   docker build -f probe.Dockerfile -t app .
#
ARG IMAGES=127.0.0.1:5000/fromscratch
ARG PROBE=0.1.0-mini
ARG BUSYBOX=docker.io/library/busybox:musl

FROM ${IMAGES}/probe:${PROBE} AS probe

FROM ${BUSYBOX} AS app

FROM scratch
COPY --from=app /bin/busybox /busybox
COPY www /www
COPY --from=probe /probe /probe
USER 65532
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=3s --retries=3 \
    CMD ["/probe", "http", "http://127.0.0.1:8080/health", "--contains", "all is well", "--timeout", "2s"]
ENTRYPOINT ["/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
