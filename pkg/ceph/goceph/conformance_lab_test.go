//go:build lab && cgo

package goceph

import (
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	cephtest.Conformance(t, startHarness(t, cephtest.Pools()))
}

func TestSubvolumeConformance(t *testing.T) {
	t.Parallel()
	cephtest.SubvolumeConformance(t, startSubvolumeHarness(t))
}
