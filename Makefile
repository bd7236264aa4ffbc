include versions.mk
include tools.mk
include ceph.mk
include lint.mk
include vulncheck.mk
include test/lab/lab.mk
include test/krbd/krbd.mk
include test/fresh/fresh.mk
include test/neighbours/neighbours.mk
include release/release.mk
include site/site.mk
include image/image.mk

MODULE      := github.com/cephferry/cephferry
VERSION     ?= 0.1.0-dev+$(or $(shell git rev-parse --short HEAD 2>/dev/null),unknown)
# The version becomes part of shell commands, and comes from a tag's name.
$(if $(findstring ',$(VERSION)),$(error VERSION is not one: $(VERSION)))
# The version in the names of archives: the tag without its v.
RELEASE     ?= $(firstword $(subst +, ,$(VERSION)))
# If STRIP is not empty, programs have no symbols and no DWARF, which are a third of them.
LDFLAGS     := $(if $(STRIP),-s -w )-X $(MODULE)/pkg/version.build=$(VERSION)
PLATFORMS   := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
# Where static builds go.
BIN         := bin
# The static builds for this machine.
STATIC       = static/$(shell go env GOOS)/$(shell go env GOARCH)
PLUGIN       = $(STATIC:static/%=plugin/%)
# How often fuzzing does its work: FUZZ=100 takes a hundred times as long.
FUZZ        ?= 1
# The packages whose tests need the lab; test-unit runs all others. They are ordered so that at all
# times packages that wait (keys, outage, failover, krbd, goceph) run beside packages that compute.
# The other checks compute beside the first of them. The rest is short.
LAB_FIRST    = test/keys/ test/outage/ test/e2e/ test/provisioner/ test/guard/ test/failover/ pkg/ceph/goceph/ test/krbd/ test/lab/ test/chart/
LAB_ALL      = $(sort $(dir $(shell grep -rlE '^//go:build .*\<lab\>' --include='*_test.go' pkg test cmd)))
ordered      = $(filter $1,$(LAB_FIRST)) $(filter-out $(LAB_FIRST),$1)
LAB_PACKAGES = $(call ordered,$(LAB_ALL))
# Three packages run at a time, each with its own servers and four tests, which mostly wait. The
# virtual machines are one of the three. The servers are Go programs too. There is enough
# memory, so GOGC lets them spend an eighth less time on collecting garbage.
LAB_TESTS    = GOGC=400 go test -tags '$(GO_CEPH_TAGS) lab krbd' -vet=off -count=1 -p 3 -parallel 4 -timeout 20m

# Our programs that these tests run.
LAB_PROGRAMS = deps tools bin/postrender bin/webhook bin/kubectl-cephferry bin/lab-node $(PLUGIN) helm4-plugin

# make bench and the tests of growth need more programs of others. Our own belong in the PATH of
# people who use the lab.
CEPHFERRY_TOOLS := $(CEPHFERRY_TOOLS):$(KUSTOMIZE_DIR):$(RESIZER_DIR):$(CERT_MANAGER_DIR):$(KREW_DIR):$(REGISTRY_DIR)
lab-up: bin/postrender bin/kubectl-cephferry

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

##### Build

.PHONY: build
build: deps bin/postrender bin/webhook bin/kubectl-cephferry ## Build the programs in bin with the installed librbd

.PHONY: bin/postrender bin/webhook bin/kubectl-cephferry
bin/postrender bin/webhook bin/kubectl-cephferry: bin/%:
	@mkdir -p bin
	CGO_ENABLED=1 go build -tags '$(GO_CEPH_TAGS)' -ldflags '$(LDFLAGS)' -o $@ ./cmd/$*

.PHONY: build-static
build-static: $(addprefix static/,$(PLATFORMS)) $(addprefix plugin/,$(PLATFORMS)) ## Build postrender and kubectl cephferry without cgo for every platform, into bin/<os>-<arch>

# $(call static,PROGRAM,OS/ARCH)
static = CGO_ENABLED=0 GOOS=$(patsubst %/,%,$(dir $2)) GOARCH=$(notdir $2) go build -trimpath -ldflags '-s -w $(LDFLAGS)' \
	-o '$(BIN)/$(subst /,-,$2)/$1$(if $(filter windows/%,$2),.exe)' ./cmd/$1

.PHONY: $(addprefix static/,$(PLATFORMS))
$(addprefix static/,$(PLATFORMS)): static/%:
	@mkdir -p '$(BIN)/$(subst /,-,$*)'
	$(call static,postrender,$*)

.PHONY: $(addprefix plugin/,$(PLATFORMS))
$(addprefix plugin/,$(PLATFORMS)): plugin/%:
	@mkdir -p '$(BIN)/$(subst /,-,$*)'
	$(call static,kubectl-cephferry,$*)
	@cp cmd/kubectl-cephferry/kubectl_complete-cephferry '$(BIN)/$(subst /,-,$*)/'

.PHONY: helm4-plugin
helm4-plugin: $(STATIC) ## Lay out the Helm 4 plugin in bin/helm4/cephferry; install it with helm plugin install
	@mkdir -p bin/helm4/cephferry/bin
	@cp '$(BIN)/$(subst /,-,$(STATIC:static/%=%))/postrender' bin/helm4/cephferry/bin/
	@sed 's/^version: .*/version: $(VERSION)/' helm4/plugin.yaml > bin/helm4/cephferry/plugin.yaml
	@echo "bin/helm4/cephferry is ready: helm plugin install $(CURDIR)/bin/helm4/cephferry"

##### Check

# Servers and virtual machines wait most of the time. The other checks run beside them, one after
# the other: those that only compute at the lowest priority, so that they use what the servers
# leave. The output of a check is shown when it ends. If one fails, the others still run, and the
# last line names it.
CHECKS = test-servers lint fuzz test-fresh test-unit
# What CI runs as jobs beside make test.
PARTS  = release-snapshot test-image test-site
# In these something has to answer in time.
WAITED = test-servers test-image test-site

# $(call run,CHECKS)
run = @failed=$$(mktemp) && trap 'rm -f "$$failed"' EXIT && \
	{ $(MAKE) --no-print-directory --jobs 2 --keep-going --output-sync=recurse FAILED="$$failed" $(addprefix checks/,$1) || \
	{ echo "failed: $$(xargs <"$$failed")"; exit 1; }; }

.PHONY: test
test: deps tools | $(KERNEL_DIR) ## Run every check but release-snapshot, test-image, test-site, test-reef and test-neighbours, which CI runs beside it
	$(call run,$(CHECKS))

.PHONY: ci
ci: deps tools | $(KERNEL_DIR) ## Run what CI runs, but test-reef and test-neighbours
	$(call run,$(CHECKS) $(PARTS))

.PHONY: $(addprefix checks/,$(CHECKS) $(PARTS))
$(addprefix checks/,$(CHECKS) $(PARTS)): checks/%:
	@began=$$(date +%s); \
	$(if $(filter $(WAITED),$*),,nice -n 19) $(MAKE) --no-print-directory $* || { echo $* >>$(FAILED); exit 1; }; \
	echo "$*: passed after $$(($$(date +%s) - began)) s"

.PHONY: test-servers
test-servers: $(LAB_PROGRAMS) bin/krbd-guest | $(KERNEL_DIR) ## Test what needs servers or virtual machines
	$(LAB_TESTS) $(addprefix ./,$(call ordered,test/krbd/ $(LAB_ALL)))

# Tests that compute for seconds run without the race detector: they have one goroutine, and would
# take six times as long. The model replays the product's code, which is tested for races in
# its own packages. Those of test/repo read files.
LONG_MODEL = TestNobodyElseWrites|TestKeys|TestKeysLeave|TestHoles|TestExclusiveMapping|TestOneNodeWrites|TestWithoutRules|TestWithoutKeyRules|TestWithoutRule9
LONG_TESTS = ^(TestCorpus|TestGenerated|FuzzRender|$(LONG_MODEL))$$

# Go's test cache does not see when rendered charts outside of the repository change.
CORPUS_SUM = cd pkg/postrender && cat "$${CEPHFERRY_CORPUS:-../../../shared/corpus}"/*.yaml 2>/dev/null | sha256sum

.PHONY: test-unit
test-unit: ## Test what needs no servers, with the race detector
	all=$$(go list ./...) && go test -vet=off -race -timeout 20m -skip '$(LONG_TESTS)' $$(echo "$$all" | grep -v '/test/repo$$')
	go test -vet=off -timeout 20m ./test/repo
	CEPHFERRY_CORPUS_SUM="$$($(CORPUS_SUM))" go test -vet=off -timeout 20m -run '$(LONG_TESTS)' ./pkg/postrender ./test/model
	go -C test/chart/render test -vet=off ./...
	CGO_ENABLED=0 go -C test/chart/alerts test -vet=off -count=1 ./...
	go -C examples/sdk test -vet=off -count=1 ./...
	CGO_ENABLED=0 go -C test/tools/resizer test -vet=off -count=1 ./...

.PHONY: test-model-full
test-model-full: ## Explore the model's large configurations too, one after the other; this takes hours and many GiB
	go test -timeout 6h -parallel 1 -run '^($(LONG_MODEL))$$' ./test/model -full -v

.PHONY: test-lab
test-lab: $(LAB_PROGRAMS) ## Test against real Ceph, API servers and Helm; some of it with LAB_PACKAGES=test/guard LAB_RUN=TestName
	$(LAB_TESTS) $(if $(LAB_RUN),-v -run '$(LAB_RUN)') $(addprefix ./,$(LAB_PACKAGES))

# $(call fuzz,TARGET,EXECUTIONS,PACKAGE), with the folder $found. The limit is a number: with a time,
# Go fails when it ends before all known inputs have run, which it does beside servers. The inputs
# that a run finds are forgotten, because the next one would count them: after enough runs nothing
# new would be tried.
fuzz = go test -run '^$$' -fuzz '^$1$$' -fuzztime $$(($2 * $(FUZZ)))x -fuzzminimizetime 20x ./$3 -args -test.fuzzcachedir="$$found"

.PHONY: fuzz
fuzz: ## Fuzz the renderer, the document splitter and the reader of records; a hundred times as long with FUZZ=100
	found=$$(mktemp -d) && trap 'rm -rf "$$found"' EXIT && \
	$(call fuzz,FuzzRender,500,pkg/postrender) && \
	$(call fuzz,FuzzGenerated,100,pkg/postrender) && \
	$(call fuzz,FuzzSplit,20000,pkg/manifest) && \
	$(call fuzz,FuzzDecodeRecord,50000,pkg/ceph)

# Files generated from the types of the objects: their deep copies, and the chart's CRDs.
OBJECTS = object paths=./pkg/api/... crd:crdVersions=v1 output:crd:dir=$(or $1,charts/cephferry/crd-schemas) output:object:dir=$(or $2,pkg/api/v1alpha1)

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate the CRDs and the deep copies from the types in pkg/api
	$(CONTROLLER_GEN) $(call OBJECTS)

.PHONY: generated
generated: $(CONTROLLER_GEN)
	@new=$$(mktemp -d) && trap 'rm -rf "$$new"' EXIT && \
	$(CONTROLLER_GEN) $(call OBJECTS,$$new/crds,$$new/types) && \
	diff -u charts/cephferry/crd-schemas $$new/crds && diff -u pkg/api/v1alpha1/zz_generated.deepcopy.go $$new/types/zz_generated.deepcopy.go || \
	{ echo "the types in pkg/api have changed: make generate"; exit 1; }

.PHONY: golden
golden: ## Rewrite expected results: testdata/postrender, the table of the chart's values, the picture of the packages, long lines of documents
	go test ./pkg/postrender -run Golden -update
	go -C test/chart/render test -run ValuesTable -update ./...
	go test ./test/repo -run 'ThePictureOfThePackages|LinesOfDocuments' -update

BENCH = CGO_ENABLED=1 go run -tags '$(GO_CEPH_TAGS)' ./test/bench
BENCH_PROGRAMS = deps tools bin/postrender bin/webhook bin/kubectl-cephferry bin/lab-node $(STATIC)

.PHONY: bench
bench: $(BENCH_PROGRAMS) ## Measure the figures of docs/performance.md, and print them beside the published ones; only some of them with PART="guard names"
	@$(BENCH) $(PART)

.PHONY: bench-quick
bench-quick: $(BENCH_PROGRAMS) ## Measure what admissions cost, in under two minutes
	@$(BENCH) -quick

.PHONY: bench-write
bench-write: $(BENCH_PROGRAMS) ## Measure as bench does, and put the tables into docs/performance.md
	@$(BENCH) -write $(PART)

##### Run

.PHONY: demo
demo: deps $(CONTROL_PLANE) $(HELM3) bin/postrender bin/webhook bin/kubectl-cephferry bin/lab-node ## Show the whole story on real parts
	@test/demo/demo

##### Machine

.PHONY: deps
deps: ## Install the Debian packages that build and tests need
	@test/deps $(DEBIAN_PACKAGES) $(BROWSER_PACKAGES)

.PHONY: tools
tools: $(CONTROL_PLANE) $(HELM3) $(HELM4) $(KUSTOMIZE) $(RESIZER) $(CERT_MANAGER) $(KREW) $(REGISTRY_PROGRAM) ## Build the programs that tests run, once

.PHONY: clean
clean: ## Remove bin and what is made in dist, dist-site and dist-image
	rm -rf bin dist dist.built dist.again dist-site dist-image
