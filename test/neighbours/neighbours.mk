# Tests with other projects' programs that make or apply claims.

NEIGHBOURS := $(CLOUDNATIVE_PG) $(HELM_CONTROLLER) $(GITOPS_ENGINE)
NEIGHBOURS_TOOLS := $(CEPHFERRY_TOOLS):$(CLOUDNATIVE_PG_DIR):$(HELM_CONTROLLER_DIR):$(GITOPS_ENGINE_DIR)

.PHONY: test-neighbours
test-neighbours: deps $(CONTROL_PLANE) $(HELM3) $(NEIGHBOURS) bin/postrender bin/webhook bin/lab-node ## Test beside CloudNativePG, Flux's helm-controller and Argo CD's gitops-engine; one test with NEIGHBOURS_RUN=TestName
	CEPHFERRY_TOOLS='$(NEIGHBOURS_TOOLS)' GOGC=400 go test -tags '$(GO_CEPH_TAGS) lab neighbours' -vet=off -count=1 -timeout 10m $(if $(NEIGHBOURS_RUN),-v -run '$(NEIGHBOURS_RUN)') ./test/neighbours
