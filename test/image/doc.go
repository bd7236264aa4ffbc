// Package image tests the container image: what is in it, and that it runs as the chart's pod
// says. `make test-image` builds it and runs these tests. Without that, only the tests of the
// translation and of the script that installs headers run.
package image
