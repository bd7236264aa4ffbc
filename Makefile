include versions.mk
include tools.mk

.PHONY: tools
tools: $(CONTROL_PLANE) $(HELM3) $(HELM4) $(KUSTOMIZE) $(STATICCHECK)
