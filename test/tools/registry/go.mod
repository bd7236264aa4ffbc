// Builds the OCI registry that tests push a release's chart to.
module github.com/cephferry/cephferry/test/tools/registry

go 1.26.0

require github.com/google/go-containerregistry v0.22.1
