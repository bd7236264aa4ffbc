// Package image tries the container image: what is in it, and that it runs as the pod of the
// chart says. `make test-image` builds it and runs these tests; without that, only those of the
// translation and of the script that installs headers run.
package image
