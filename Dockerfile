# The webhook, and kubectl cephferry for people whose own build has no Ceph library. Ceph's own
# image has the libraries of its release, which work with older and newer clusters too; those
# from 19.2.6 and 20.2.4 on can use keys of type aes256k. Another release, whose libraries
# ceph.mk has to know: --build-arg BASE_IMAGE=quay.io/ceph/ceph:v19.2.6
ARG BASE_IMAGE=quay.io/ceph/ceph:v20.2.4
ARG GO_IMAGE=golang:1.26-bookworm

# The Go of the building machine, even for an image of another architecture. It is linked
# statically, so it runs beside emulated programs. Only the C compiler is emulated.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS go

FROM ${BASE_IMAGE} AS build
COPY image/headers /usr/local/sbin/cephferry-headers
RUN cephferry-headers
ENV PATH=/usr/local/go/bin:$PATH GOTOOLCHAIN=local GOFLAGS=-trimpath GOMODCACHE=/go/mod GOCACHE=/go/build
ARG GOPROXY
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=bind,from=go,source=/usr/local/go,target=/usr/local/go go mod download
COPY . .
ARG VERSION=unknown
ARG TARGETARCH
# Names the headers, for builds that keep Go's cache.
ARG HEADERS
RUN --mount=type=bind,from=go,source=/usr/local/go,target=/usr/local/go \
    GOARCH="$TARGETARCH" CGO_CFLAGS="-g -O2 -DHEADERS=$HEADERS" \
    make bin/webhook bin/kubectl-cephferry VERSION="$VERSION" STRIP=true

FROM ${BASE_IMAGE}
# No program in the image can become another user, whatever Kubernetes allows.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s '{}' +
COPY --from=build /src/bin/webhook /src/bin/kubectl-cephferry /usr/local/bin/
# A number, so that runAsNonRoot can be checked.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/webhook"]
