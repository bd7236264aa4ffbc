# The build on a machine that has only Debian's base system, git, make and Go. What
# `make deps` does not install is missing there.

FRESH_DIR := $(CEPHFERRY_CACHE)/fresh
# The command to run in a clone in such a root. `make demo` and `make test` work there too;
# `make test` makes a root inside the root. Programs that are only compiled do not name the
# commit, so a new commit does not link them again.
FRESH_RUN ?= make --no-print-directory --jobs 2 VERSION=fresh GOFLAGS=-buildvcs=false compile

.PHONY: test-fresh
test-fresh: deps ## Build everything in a root that has only what make deps installs
	@DEBIAN_PACKAGES='$(DEBIAN_PACKAGES)' test/fresh/$(if $(filter file,$(origin FRESH_RUN)),once,root) $(FRESH_DIR) $(FRESH_RUN)

LAB_TAGS = $(GO_CEPH_TAGS) lab krbd image

# go list -export compiles everything, including tests, with and without the tags, and Go caches
# the result. Libraries that a machine lacks show when Ceph's are linked. The programs and the
# tests of goceph link all that anything links. No test is run: true runs in its place, and its
# output is not shown, because its success would say nothing.
.PHONY: compile
compile: bin/postrender bin/webhook bin/kubectl-cephferry bin/lab-node bin/krbd-guest build-static
	test/fresh/headers '$(LAB_TAGS)' $(DEBIAN_PACKAGES)
	go list -export -test -tags '$(LAB_TAGS)' ./... >/dev/null
	go test -tags '$(LAB_TAGS)' -run '^$$' -vet=off -exec true ./pkg/ceph/goceph >/dev/null
	go list -export -test ./... >/dev/null
	go -C test/chart/render list -export -test ./... >/dev/null
	CGO_ENABLED=0 go -C test/chart/alerts list -export -test ./... >/dev/null
	go -C examples/sdk list -export -test ./... >/dev/null
	CGO_ENABLED=0 go -C test/tools/resizer list -export -test ./... >/dev/null
	CGO_ENABLED=0 go -C test/tools/registry list -trimpath -export ./... >/dev/null
	CGO_ENABLED=0 go -C test/tools/cert-manager list -trimpath -export ./... >/dev/null

##### A second Ceph

# The programs and the tests that talk to Ceph itself, built against the Ceph of Debian's next
# release and run with its servers, in a root of that release. So nothing depends on the one
# Ceph that this machine has. As above, it does not run again while no file has changed.
REEF_DIR   := $(CEPHFERRY_CACHE)/reef
REEF_TESTS ?= make --no-print-directory VERSION=fresh GOFLAGS=-buildvcs=false reef

.PHONY: test-reef
test-reef: deps ## Test with Ceph 18 and its libraries, in a root of Debian 13
	@DEBIAN_SUITE=trixie DEBIAN_PACKAGES='$(DEBIAN_PACKAGES)' test/fresh/once $(REEF_DIR) $(REEF_TESTS)

.PHONY: reef
reef: deps $(CONTROL_PLANE) $(HELM3) bin/webhook bin/kubectl-cephferry bin/postrender bin/lab-node
	@test '$(GO_CEPH_TAGS)' = reef || { echo "the Ceph here is $(GO_CEPH_TAGS), not reef"; exit 1; }
	$(LAB_TESTS) ./pkg/ceph/goceph ./pkg/ownership ./pkg/connect
	$(LAB_TESTS) ./test/guard -run '^TestAnAppTeamSeesWhoOwnsItsVolumes$$'
