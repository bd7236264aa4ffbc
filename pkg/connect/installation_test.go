package connect

import (
	"context"
	"errors"
	"testing"
)

func TestInstallations(t *testing.T) {
	down := errors.New("the server is down")
	read := Installations{Namespaces: []string{"rook-ceph", "ceph-csi"}, Exists: func(_ context.Context, namespace string) (bool, error) {
		if namespace == "unknown" {
			return false, down
		}
		return namespace == "storage" || namespace == "rook-ceph", nil
	}}
	for driver, want := range map[string]error{
		"rook-ceph.rbd.csi.ceph.com":  nil,
		"ceph-csi.rbd.csi.ceph.com":   nil,
		"rbd.csi.ceph.com":            nil,
		"any-prefix.rbd.csi.ceph.com": nil,
		"":                            nil, // of an orphan, nobody knows it
		"storage.rbd.csi.ceph.com":    ErrInstallation,
		"storage.cephfs.csi.ceph.com": ErrInstallation,
		"unknown.rbd.csi.ceph.com":    down,
	} {
		if err := read.Check(t.Context(), driver); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", driver, err, want)
		}
	}
	const want = "driver storage.rbd.csi.ceph.com: the configuration of that ceph-csi is not read: it is in namespace storage; add that to the chart's value ceph.configNamespaces"
	if err := read.Check(t.Context(), "storage.rbd.csi.ceph.com"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
