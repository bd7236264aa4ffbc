# The lab: one real Ceph and two real control planes, with nodes (see doc.go).

LAB_DIR   ?= .lab
# How many nodes each cluster has. Nodes need root; a lab without nodes does not.
LAB_NODES ?= 2

# Where package lab finds the programs that make builds. lab-up puts the same
# folders into the PATH of .lab/env.
export CEPHFERRY_TOOLS := $(KUBERNETES_DIR):$(HELM3_DIR):$(HELM4_DIR):$(CURDIR)/bin

# The program that runs on the nodes.
.PHONY: bin/lab-node
bin/lab-node: deps
	@mkdir -p bin
	CGO_ENABLED=1 go build -tags '$(GO_CEPH_TAGS)' -o $@ ./test/lab/cmd/lab-node

.PHONY: lab-up lab-down
lab-up: $(CONTROL_PLANE) $(HELM3) $(HELM4) bin/lab-node ## Start Ceph and the clusters east and west; then: . .lab/env
	@CGO_ENABLED=0 go run ./test/lab/cmd/lab up --dir $(LAB_DIR) --nodes $(LAB_NODES)

lab-down: ## Stop them and remove .lab
	@CGO_ENABLED=0 go run ./test/lab/cmd/lab down --dir $(LAB_DIR)
