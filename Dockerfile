# The webhook, and kubectl cephferry for people whose own build has no Ceph library. Ceph's own
# image has the libraries of its release, which work with older and newer clusters too; those
# from 19.2.6 and 20.2.4 on can use keys of type aes256k. Another release, whose libraries
# ceph.mk has to know: --build-arg BASE_IMAGE=quay.io/ceph/ceph:v19.2.6
ARG BASE_IMAGE=quay.io/ceph/ceph:v20.2.4

FROM golang:1.26-bookworm AS go

FROM ${BASE_IMAGE} AS build
# The headers are those of the libraries in the image, and not of the newest in the repository.
RUN version="$(rpm -q --queryformat '%{version}-%{release}' librados2)" \
 && dnf install -y --setopt=install_weak_deps=False gcc gcc-c++ make gawk \
    "librados-devel-$version" "libradospp-devel-$version" "librbd-devel-$version" \
 && dnf clean all
COPY --from=go /usr/local/go /usr/local/go
ENV PATH=/usr/local/go/bin:$PATH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN make bin/webhook bin/kubectl-cephferry VERSION="$VERSION"

FROM ${BASE_IMAGE}
COPY --from=build /src/bin/webhook /src/bin/kubectl-cephferry /usr/local/bin/
# A number, so that runAsNonRoot can be checked.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/webhook"]
