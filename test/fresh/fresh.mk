# The build on a machine that has nothing but Debian's base system, git, make and Go:
# what `make deps` forgets is missing there.

FRESH_DIR := $(CEPHFERRY_CACHE)/fresh
# What to run in a clone in a root like that; `make demo` and `make test` work there too, and
# the latter makes a root in the root. No program that is only compiled has to name the
# commit, and be linked again for it.
FRESH_RUN ?= make --no-print-directory --jobs 2 VERSION=fresh GOFLAGS=-buildvcs=false compile

.PHONY: test-fresh
test-fresh: deps ## Build everything in a root that has only what make deps installs
	@DEBIAN_PACKAGES='$(DEBIAN_PACKAGES)' test/fresh/$(if $(filter file,$(origin FRESH_RUN)),once,root) $(FRESH_DIR) $(FRESH_RUN)

LAB_TAGS = $(GO_CEPH_TAGS) lab krbd image

# go list -export compiles everything, tests as well, with the tags and without, and Go keeps
# what it has compiled. What a machine may lack besides shows when Ceph's libraries are
# linked, and all that link them link what the programs and these tests do. Tests are not
# run: true runs in their place, and its success is not shown, because it is none.
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

# The programs and the tests that look at Ceph itself, built against the Ceph of Debian's next
# release and run with its servers, in a root of that release: nothing may depend on the one
# Ceph that this machine has. As above, not again while no file is different.
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
