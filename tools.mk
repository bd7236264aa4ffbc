# Programs that tests, lint and the demo run and that have to be compiled. They
# are built once per version and kept outside the repository.

CEPHFERRY_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cephferry

# Of some, the main package is ours. Another version of it has another checksum. Where an image is
# built, there are no tests, and nobody asks for these programs.
checksum = $(if $(wildcard $1),$(shell sha256sum <$1 | cut -c 1-12))

KUBERNETES_DIR  := $(CEPHFERRY_CACHE)/kubernetes-$(KUBERNETES_VERSION)
# Helm 3 has Kubernetes' version linked in, so another one needs another build.
HELM3_DIR       := $(CEPHFERRY_CACHE)/helm-$(HELM3_VERSION)-kubernetes-$(KUBERNETES_VERSION)
HELM4_DIR       := $(CEPHFERRY_CACHE)/helm-$(HELM4_VERSION)
KUSTOMIZE_DIR   := $(CEPHFERRY_CACHE)/kustomize-$(KUSTOMIZE_VERSION)
RESIZER_DIR     := $(CEPHFERRY_CACHE)/external-resizer-$(RESIZER_VERSION)-$(call checksum,test/tools/resizer/driver/main.go)
CERT_MANAGER_DIR := $(CEPHFERRY_CACHE)/cert-manager-$(CERT_MANAGER_VERSION)-$(call checksum,test/tools/cert-manager/cert-manager/main.go)
CLOUDNATIVE_PG_DIR := $(CEPHFERRY_CACHE)/cloudnative-pg-$(CLOUDNATIVE_PG_VERSION)
HELM_CONTROLLER_DIR := $(CEPHFERRY_CACHE)/helm-controller-$(HELM_CONTROLLER_VERSION)
GITOPS_ENGINE_DIR := $(CEPHFERRY_CACHE)/gitops-engine-$(GITOPS_ENGINE_VERSION)-$(call checksum,test/tools/argocd/argocd/main.go)
KREW_DIR        := $(CEPHFERRY_CACHE)/krew-$(KREW_VERSION)
REGISTRY_DIR    := $(CEPHFERRY_CACHE)/registry-$(REGISTRY_VERSION)-$(call checksum,test/tools/registry/main.go)
COSIGN_DIR      := $(CEPHFERRY_CACHE)/cosign-$(COSIGN_VERSION)
CONTROLLER_GEN_DIR := $(CEPHFERRY_CACHE)/controller-gen-$(CONTROLLER_GEN_VERSION)-$(shell go env GOVERSION)

CONTROL_PLANE := $(addprefix $(KUBERNETES_DIR)/,kube-apiserver kube-controller-manager kube-scheduler kubectl)
HELM3         := $(HELM3_DIR)/helm
HELM4         := $(HELM4_DIR)/helm4
KUSTOMIZE     := $(KUSTOMIZE_DIR)/kustomize
RESIZER       := $(addprefix $(RESIZER_DIR)/,csi-resizer csi-driver)
CERT_MANAGER  := $(CERT_MANAGER_DIR)/cert-manager
CLOUDNATIVE_PG := $(CLOUDNATIVE_PG_DIR)/cloudnative-pg
HELM_CONTROLLER := $(HELM_CONTROLLER_DIR)/helm-controller
GITOPS_ENGINE := $(GITOPS_ENGINE_DIR)/argocd
KREW          := $(addprefix $(KREW_DIR)/,krew validate-krew-manifest)
REGISTRY_PROGRAM := $(REGISTRY_DIR)/registry
COSIGN        := $(COSIGN_DIR)/cosign
CONTROLLER_GEN := $(CONTROLLER_GEN_DIR)/controller-gen

# build-tool <module folder> <package> <target> [ldflags]: the binary appears
# under its final name only when it is complete.
define build-tool
	@mkdir -p $(dir $3)
	@echo "building $3 (once)"
	@CGO_ENABLED=0 go -C test/tools/$1 build -trimpath -ldflags '-s -w $4' -o $3.part $2
	@mv $3.part $3
endef

KUBERNETES_MAJOR := $(word 1,$(subst ., ,$(KUBERNETES_VERSION:v%=%)))
KUBERNETES_MINOR := $(word 2,$(subst ., ,$(KUBERNETES_VERSION:v%=%)))

# An unstamped control plane reports v0.0.0-master, on which no chart with a
# kubeVersion installs.
KUBERNETES_STAMP := \
	-X k8s.io/component-base/version.gitVersion=$(KUBERNETES_VERSION) \
	-X k8s.io/component-base/version.gitMajor=$(KUBERNETES_MAJOR) \
	-X k8s.io/component-base/version.gitMinor=$(KUBERNETES_MINOR)

# helm template asks no cluster and takes this version for that of Kubernetes. An unstamped
# Helm 3 says 1.20, and renders no chart whose kubeVersion is newer. Helm 4 says the
# version of its client-go.
HELM3_STAMP := \
	-X helm.sh/helm/v3/internal/version.version=$(HELM3_VERSION) \
	-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=$(KUBERNETES_MAJOR) \
	-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$(KUBERNETES_MINOR)

$(KUBERNETES_DIR)/%:
	$(call build-tool,kubernetes,k8s.io/kubernetes/cmd/$*,$@,$(KUBERNETES_STAMP))

$(HELM3):
	$(call build-tool,helm3,helm.sh/helm/v3/cmd/helm,$@,$(HELM3_STAMP))

$(HELM4):
	$(call build-tool,helm4,helm.sh/helm/v4/cmd/helm,$@,-X helm.sh/helm/v4/internal/version.version=$(HELM4_VERSION))

$(KUSTOMIZE):
	$(call build-tool,kustomize,sigs.k8s.io/kustomize/kustomize/v5,$@)

$(CONTROLLER_GEN):
	$(call build-tool,controller-gen,sigs.k8s.io/controller-tools/cmd/controller-gen,$@,-X sigs.k8s.io/controller-tools/pkg/version.version=$(CONTROLLER_GEN_VERSION))
$(RESIZER_DIR)/csi-resizer:
	$(call build-tool,resizer,github.com/kubernetes-csi/external-resizer/cmd/csi-resizer,$@)

# Beside it are the CRDs.
$(CERT_MANAGER):
	$(call build-tool,cert-manager,./cert-manager,$@)
	@mkdir -p $(CERT_MANAGER_DIR)/crds
	@install -m 644 "$$(go -C test/tools/cert-manager list -m -f '{{.Dir}}' github.com/cert-manager/cert-manager)"/deploy/crds/cert-manager.io_*.yaml $(CERT_MANAGER_DIR)/crds

# Only test-neighbours needs these. Beside them are their CRDs.
$(CLOUDNATIVE_PG):
	$(call build-tool,cloudnative-pg,github.com/cloudnative-pg/cloudnative-pg/cmd/manager,$@)
	@mkdir -p $(CLOUDNATIVE_PG_DIR)/crds
	@install -m 644 "$$(go -C test/tools/cloudnative-pg list -m -f '{{.Dir}}' github.com/cloudnative-pg/cloudnative-pg)"/config/crd/bases/*.yaml $(CLOUDNATIVE_PG_DIR)/crds

$(HELM_CONTROLLER):
	$(call build-tool,flux,github.com/fluxcd/helm-controller,$@)
	@mkdir -p $(HELM_CONTROLLER_DIR)/crds
	@install -m 644 "$$(go -C test/tools/flux list -m -f '{{.Dir}}' github.com/fluxcd/helm-controller)"/config/crd/bases/*.yaml $(HELM_CONTROLLER_DIR)/crds

$(GITOPS_ENGINE):
	$(call build-tool,argocd,./argocd,$@)

$(RESIZER_DIR)/csi-driver:
	$(call build-tool,resizer,./driver,$@)

# krew uses its own version only when it asks GitHub for something, which no test does.
$(KREW_DIR)/%:
	$(call build-tool,krew,sigs.k8s.io/krew/cmd/$*,$@)

$(REGISTRY_PROGRAM):
	$(call build-tool,registry,.,$@)

# Only releases need it. It takes long to build, so `make tools` leaves it out.
$(COSIGN):
	$(call build-tool,cosign,github.com/sigstore/cosign/v3/cmd/cosign,$@)
