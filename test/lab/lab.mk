# The lab: one real Ceph and two real control planes on loopback (see doc.go).

LAB_DIR ?= .lab

# Where package lab finds the programs that make builds; lab-up puts the same
# folders into PATH of .lab/env.
export CEPHFERRY_TOOLS := $(KUBERNETES_DIR):$(HELM3_DIR):$(HELM4_DIR):$(CURDIR)/bin

.PHONY: lab-up lab-down
lab-up: $(CONTROL_PLANE) $(HELM3) $(HELM4) ## Start Ceph and the clusters east and west; then: . .lab/env
	@CGO_ENABLED=0 go run ./test/lab/cmd/lab up --dir $(LAB_DIR)

lab-down: ## Stop them and remove .lab
	@CGO_ENABLED=0 go run ./test/lab/cmd/lab down --dir $(LAB_DIR)
