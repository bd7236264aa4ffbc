# A release: see CONTRIBUTING.md. The scripts beside this file make and check it.

DIST ?= dist
RELEASE_PATH = PATH='$(HELM3_DIR):$(COSIGN_DIR):$(PATH)'
# Where the chart and the image go.
REGISTRY ?= ghcr.io/cephferry
PUBLISH   = $(RELEASE_PATH) release/login '$(REGISTRY)'

# Tests may be running what is in bin, so a release is built elsewhere.
BUILT = $(DIST).built
AGAIN = $(DIST).again

.PHONY: release-files
release-files: $(HELM3)
	@rm -rf '$(DIST)' '$(BUILT)'
	@$(MAKE) --no-print-directory BIN='$(BUILT)' build-static
	@$(RELEASE_PATH) release/snapshot '$(RELEASE)' '$(BUILT)' '$(DIST)'
	@rm -rf '$(BUILT)'

# Shows that a second build makes the same bytes. One platform stands for all: it is linked and
# packed again.
.PHONY: release-again
release-again: release-files
	@rm -rf '$(AGAIN)'
	@$(MAKE) --no-print-directory BIN='$(AGAIN)/programs' $(STATIC) $(PLUGIN)
	@$(RELEASE_PATH) release/snapshot '$(RELEASE)' '$(AGAIN)/programs' '$(AGAIN)/files'
	@cd '$(AGAIN)/files' && for file in *.gz *.tgz; do cmp "$$file" '$(abspath $(DIST))'/"$$file" || exit 1; done
	@rm -rf '$(AGAIN)'

.PHONY: release-snapshot
release-snapshot: release-files release-again $(COSIGN) $(REGISTRY_PROGRAM) ## Make a release in dist without a network, sign it with a temporary key, and check it
	@keys=$$(mktemp -d) && trap 'rm -rf "$$keys"' EXIT && export COSIGN_PASSWORD= && $(RELEASE_PATH) && \
	(cd "$$keys" && cosign generate-key-pair 2>/dev/null) && \
	COSIGN_PRIVATE_KEY="$$keys/cosign.key" release/sign '$(DIST)' && \
	COSIGN_PUBLIC_KEY="$$keys/cosign.pub" release/check '$(RELEASE)' '$(DIST)'
	@rm '$(DIST)/SHA256SUMS.sigstore.json'
	CEPHFERRY_TOOLS='$(CEPHFERRY_TOOLS):$(COSIGN_DIR)' CGO_ENABLED=0 go test -tags 'lab cosign' -vet=off -count=1 -run '^(TestSignature|TestPublishedChart)$$' ./test/release

.PHONY: release-tagged
release-tagged: ## Check that what is checked out is the release VERSION; the first job of the release workflow
	@release/tagged '$(RELEASE)'

.PHONY: release
release: release-files release-again ## Make the files of the release VERSION, whose tag is checked out, in dist
	@release/tagged '$(RELEASE)'

.PHONY: release-sign
release-sign: $(HELM3) $(COSIGN) ## Sign what make release has left in dist as the workflow that runs this, and check it
	@release/tagged '$(RELEASE)'
	@$(RELEASE_PATH) release/sign '$(DIST)'
	@$(RELEASE_PATH) release/check '$(RELEASE)' '$(DIST)'

.PHONY: release-publish
release-publish: $(HELM3) $(COSIGN) ## Publish what make release-sign has signed in dist, the chart in REGISTRY; for the release workflow
	@$(PUBLISH) release/publish '$(RELEASE)' '$(DIST)' '$(REGISTRY)'
