# The webhook, and kubectl cephferry for people whose own build has no Ceph library. Debian's
# librbd works with newer Ceph clusters too.
FROM golang:1.26-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends librados-dev libradospp-dev librbd-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN make bin/webhook bin/kubectl-cephferry VERSION="$VERSION"

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends librados2 librbd1 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/bin/webhook /src/bin/kubectl-cephferry /usr/local/bin/
# A number, so that runAsNonRoot can be checked.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/webhook"]
