# Built by plain `docker build .`, by Compose and by builders without BuildKit.
FROM golang:1.26 AS build
WORKDIR /src

# The modules are a layer of their own: a change of code doesn't fetch them anew.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
ARG VERSION=dev
ARG COMMIT=unknown
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT}" \
    -o /out/gateway ./cmd/gateway

# No shell, no package manager, no root: the gateway, CA certificates and time zones.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/gateway /gateway
COPY configs/drop-in.yaml /etc/sallyport/gateway.yaml

# The probes must be reached from outside the container; the port is not published.
ENV ADMIN_LISTEN=:9090
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/gateway", "healthcheck", "-c", "/etc/sallyport/gateway.yaml"]
ENTRYPOINT ["/gateway"]
CMD ["run", "-c", "/etc/sallyport/gateway.yaml"]
