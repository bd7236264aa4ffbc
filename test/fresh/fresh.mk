# The build on a machine that has nothing but Debian's base system, git, make and Go:
# what `make deps` forgets is missing there.

FRESH_DIR := $(CEPHFERRY_CACHE)/fresh
# What to run in a root like that; `make demo` and `make test` work there too.
FRESH_RUN ?= make --no-print-directory --jobs 2 compile

.PHONY: test-fresh
test-fresh: deps ## Build everything in a root that has only what make deps installs
	@DEBIAN_PACKAGES='$(DEBIAN_PACKAGES)' test/fresh/root $(FRESH_DIR) $(FRESH_RUN)

LAB_TAGS = $(GO_CEPH_TAGS) lab krbd

# go vet compiles everything, with the tags and without. What a machine may lack shows when
# Ceph's libraries are linked, and all that link them link what the programs and these
# tests do. Tests are not run: true runs in their place, and its success is not shown,
# because it is none. Go keeps the results of vet, and not those of linking.
.PHONY: compile
compile: bin/postrender bin/webhook bin/kubectl-cephferry bin/lab-node bin/krbd-guest build-static
	test/fresh/headers '$(LAB_TAGS)' $(DEBIAN_PACKAGES)
	go vet -tags '$(LAB_TAGS)' ./...
	go test -tags '$(LAB_TAGS)' -run '^$$' -vet=off -exec true ./pkg/ceph/goceph >/dev/null
	go vet ./...
	go -C test/chart/render vet ./...
	go -C examples/sdk vet ./...
