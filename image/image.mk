# The container image, built from the Dockerfile.

IMAGE_ARCH ?= $(shell go env GOARCH)
# The architectures of a release.
IMAGE_ARCHS := amd64 arm64
# A storage of our own, so that our images do not appear among people's own in `podman images`.
IMAGE_DIR     := $(CEPHFERRY_CACHE)/image
IMAGE_STORAGE := --root $(IMAGE_DIR)/storage --runroot /run/cephferry-image
export BUILDAH := buildah $(IMAGE_STORAGE)
export PODMAN  := podman $(IMAGE_STORAGE) --cgroup-manager cgroupfs
IMAGE_ARCHIVE  = $(DIST)-image/cephferry-webhook-$(RELEASE)-linux-$(IMAGE_ARCH).tar
# The builder that the provenance names.
BUILDER ?= https://github.com/cephferry/cephferry/blob/main/docs/image.md
# The Debian packages that these targets need besides those of the others.
IMAGE_PACKAGES := buildah crun podman skopeo

.PHONY: image-deps
image-deps:
	@test/deps $(IMAGE_PACKAGES)

.PHONY: image
image: image-deps ## Build the image for IMAGE_ARCH on Ceph's own, as an OCI archive in dist-image, with bill of materials and provenance
	@image/build '$(IMAGE_ARCH)' '$(VERSION)' '$(IMAGE_ARCHIVE)' '$(BUILDER)'

# The image without a registry: on Debian with Debian's Ceph libraries.
.PHONY: image-here
image-here: deps image-deps
	@options=$$(image/base '$(IMAGE_ARCH)') && image/build '$(IMAGE_ARCH)' '$(VERSION)' '$(IMAGE_ARCHIVE)' '$(BUILDER)' $$options

.PHONY: test-image
test-image: image-here $(CONTROL_PLANE) $(HELM3) $(REGISTRY_PROGRAM) $(COSIGN) ## Build the image on Debian's Ceph libraries, run it as the chart says, and publish it to a registry on this machine
	CEPHFERRY_TOOLS='$(CEPHFERRY_TOOLS):$(COSIGN_DIR)' CEPHFERRY_IMAGE_ARCHIVE='$(CURDIR)/$(IMAGE_ARCHIVE)' CEPHFERRY_IMAGE='localhost/cephferry/webhook:$(IMAGE_ARCH)' go test -tags '$(GO_CEPH_TAGS) lab image' -vet=off -count=1 -timeout 10m ./test/image

# The next two targets run with credentials. What they need is built and installed before, without.
.PHONY: image-tools image-push image-index
image-tools: image-deps $(COSIGN) ## Build and install what image-push and image-index run

image-push: image-tools ## Push to REGISTRY what make image has left in dist-image, signed and with its attestations; for the release workflow
	@$(PUBLISH) image/push '$(IMAGE_ARCHIVE)' '$(RELEASE)' '$(IMAGE_ARCH)' '$(REGISTRY)'

image-index: image-tools ## Make one image of those that image-push has pushed, and sign it; for the release workflow
	@$(PUBLISH) image/index '$(RELEASE)' '$(REGISTRY)' $(IMAGE_ARCHS)
