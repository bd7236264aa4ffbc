# Checks of the code that do not run it. .golangci.yaml lists the linters.

GOLANGCI_LINT_DIR := $(CEPHFERRY_CACHE)/golangci-lint-$(GOLANGCI_LINT_VERSION)-$(shell go env GOVERSION)
GOLANGCI_LINT     := $(GOLANGCI_LINT_DIR)/golangci-lint

$(GOLANGCI_LINT):
	$(call build-tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$@,-X main.version=$(GOLANGCI_LINT_VERSION))

# The linters' results for unchanged files. A clone at another path uses them too.
export GOLANGCI_LINT_CACHE ?= $(CEPHFERRY_CACHE)/golangci-lint

# Run only some linters of .golangci.yaml: make lint LINTERS=errorlint,exhaustive
LINTERS ?=
LINT     = $(GOLANGCI_LINT) run --allow-parallel-runners --config '$(CURDIR)/.golangci.yaml' $(if $(LINTERS),--enable-only '$(LINTERS)')

# All code is checked once, with every build tag. Only packages that consist of other files
# without tags and cgo are checked again without them. Go's ./... leaves out a folder of the name
# testdata.
LINT_TAGS  = $(GO_CEPH_TAGS),lab,krbd,image,site,cosign,neighbours
LINT_FILES = go list -f '{{.ImportPath}} {{.GoFiles}} {{.CgoFiles}} {{.TestGoFiles}} {{.XTestGoFiles}}'
LINT_AGAIN = { $(LINT_FILES) -tags '$(LINT_TAGS)' ./... | sed p; CGO_ENABLED=0 $(LINT_FILES) ./...; } | sort | uniq -u | sed 's| .*||; s|^$(MODULE)|.|'

# A module that is built as a tool is built with -trimpath. So is what its linters read, so that
# one build serves both.
.PHONY: lint
lint: deps $(GOLANGCI_LINT) generated ## Check formatting, run golangci-lint with and without cgo, and check that generated files match their types
	@unformatted=$$(gofmt -l charts cmd docs examples image pkg test testdata); if [ -n "$$unformatted" ]; then echo "gofmt these: $$unformatted"; exit 1; fi
	$(LINT) --build-tags '$(LINT_TAGS)' ./... ./testdata
	CGO_ENABLED=0 $(LINT) $$($(LINT_AGAIN))
	cd examples/sdk && $(LINT) ./...
	cd test/chart/render && $(LINT) ./...
	cd test/chart/alerts && CGO_ENABLED=0 $(LINT) ./...
	cd test/tools/resizer && CGO_ENABLED=0 $(LINT) ./...
	cd test/tools/registry && CGO_ENABLED=0 $(LINT) ./...
	cd test/tools/cert-manager && CGO_ENABLED=0 GOFLAGS=-trimpath $(LINT) ./...
	cd test/tools/argocd && CGO_ENABLED=0 GOFLAGS=-trimpath $(LINT) ./...
