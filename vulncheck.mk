# Known vulnerabilities in the programs and what they link.

GOVULNCHECK_DIR := $(CEPHFERRY_CACHE)/govulncheck-$(GOVULNCHECK_VERSION)-$(shell go env GOVERSION)
GOVULNCHECK     := $(GOVULNCHECK_DIR)/govulncheck

$(GOVULNCHECK):
	$(call build-tool,govulncheck,golang.org/x/vuln/cmd/govulncheck,$@)

# The Go project's database; or with VULNDB=module a version of it from the module proxy, for
# machines that reach nothing else.
VULNDB ?= https://vuln.go.dev
VULNDB_URL = $(if $(filter module,$(VULNDB)),file://$(shell go mod download -json golang.org/x/vulndb@$(VULNDB_VERSION) | sed -n 's|.*"Dir": "\(.*\)",|\1|p')/data/osv,$(VULNDB))

.PHONY: vulncheck
vulncheck: deps $(GOVULNCHECK) bin/postrender bin/webhook bin/kubectl-cephferry ## Look for known vulnerabilities in the programs; not part of test, because the result changes while the code does not
	test/vulncheck/vulncheck $(GOVULNCHECK) '$(VULNDB_URL)' bin/postrender bin/webhook bin/kubectl-cephferry
