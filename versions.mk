# Every version that is not a requirement of the product itself; go.mod has those.
# The module files under test/tools name the same versions; a test compares them.

KUBERNETES_VERSION  := v1.36.3
HELM3_VERSION       := v3.22.0
HELM4_VERSION       := v4.3.1
KUSTOMIZE_VERSION   := v5.8.2
GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION := v1.9.0
# The database of vulnerabilities as a module, see vulncheck.mk.
VULNDB_VERSION := v0.0.0-20261105234957-e22db6528018
CONTROLLER_GEN_VERSION := v0.21.0
KREW_VERSION        := v0.4.3
# The registry in memory that comes with go-containerregistry.
REGISTRY_VERSION    := v0.22.1
COSIGN_VERSION      := v3.0.6
# The sidecar of ceph-csi that grows volumes.
RESIZER_VERSION     := v1.14.0
# cert-manager makes the webhook's certificate where the chart says so.
CERT_MANAGER_VERSION := v1.21.2
# Programs that make or apply claims, of test-neighbours: the newest whose modules the module
# proxy has. Argo CD's main branch is compared and synchronized with its gitops-engine.
CLOUDNATIVE_PG_VERSION  := v1.30.0
HELM_CONTROLLER_VERSION := v1.6.0
GITOPS_ENGINE_VERSION   := v0.0.0-20260914071520-c9c369efcc5b

# What makes the site of the documents: Hugo, and the package of npm's that draws the diagrams,
# with its hash.
HUGO_VERSION        := v0.161.1
MERMAID_VERSION     := 12.3.0
MERMAID_SHA256      := be0684e8d20bfc874df12c0f04927a5c482f57f2200eec54cca52a4583fd4040

# Debian packages of the real Ceph and etcd that tests and the demo start, of the
# virtual machines and the fresh root, and the headers that the cgo build needs: go-ceph's
# C, and package goceph's C++.
DEBIAN_PACKAGES := gcc g++ libc6-dev busybox-static ceph-common ceph-mds ceph-mgr \
	ceph-mon ceph-osd curl e2fsprogs etcd-server iproute2 libcephfs-dev librados-dev \
	libradospp-dev librbd-dev mmdebstrap nftables openssl qemu-system-x86

# Those of the browser that tests drive, with a font. Nothing is built with them, so
# another list needs no other fresh root.
BROWSER_PACKAGES := chromium-headless-shell fonts-dejavu-core
