# The documents as a site. Hugo comes from Go's module proxy, the library for diagrams from npm;
# both have an exact version and are kept outside the repository. The site itself needs no network.

HUGO_DIR    := $(CEPHFERRY_CACHE)/hugo-$(HUGO_VERSION)
HUGO        := $(HUGO_DIR)/hugo
MERMAID     := $(CEPHFERRY_CACHE)/mermaid-$(MERMAID_VERSION)/mermaid.min.js
SITE        ?= $(CURDIR)/dist-site

$(HUGO):
	$(call build-tool,hugo,github.com/gohugoio/hugo,$@)

# Nothing in the package is run: npm fetches it and compares it with the hash that goes with the
# version, and one file is taken out.
$(MERMAID):
	@command -v npm >/dev/null || test/deps npm
	@mkdir -p $(@D) && fetched=$$(mktemp -d) && trap 'rm -rf "$$fetched"' EXIT && \
	npm pack --silent --pack-destination "$$fetched" mermaid@$(MERMAID_VERSION) >/dev/null && \
	echo '$(MERMAID_SHA256)  '"$$fetched/mermaid-$(MERMAID_VERSION).tgz" | sha256sum --check --quiet && \
	tar -xzf "$$fetched/mermaid-$(MERMAID_VERSION).tgz" -C "$$fetched" package/dist/mermaid.min.js && \
	mv "$$fetched/package/dist/mermaid.min.js" $@

.PHONY: site
site: $(HUGO) $(MERMAID) ## Build the documents as a site, into dist-site
	@rm -rf '$(SITE)'
	@said=$$($(HUGO) --source site --destination '$(SITE)' --panicOnWarning --noBuildLock 2>&1) || { echo "$$said"; exit 1; }
	@cp $(MERMAID) '$(SITE)/mermaid.min.js'
	@echo "$(SITE)/index.html is ready"

.PHONY: test-site
test-site: deps site ## Build the site, follow its links, and look at it in a browser
	SITE='$(SITE)' go test -tags site -vet=off -count=1 ./test/site
