package flagvalue_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/flagvalue"
)

func TestSecretReference(t *testing.T) {
	got, err := flagvalue.SecretReference("rook-ceph/node")
	if diff := cmp.Diff(corev1.SecretReference{Namespace: "rook-ceph", Name: "node"}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	for _, text := range []string{"", "node", "/node", "rook-ceph/", "a/b/c"} {
		if got, err := flagvalue.SecretReference(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestPrefixes(t *testing.T) {
	got, err := flagvalue.Prefixes("--range", []string{"10.1.2.3/8", "fd00::1/64"})
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/64")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	if _, err := flagvalue.Prefixes("--range", []string{"10.0.0.1"}); err == nil || err.Error() != `--range 10.0.0.1: netip.ParsePrefix("10.0.0.1"): no '/'` {
		t.Error(err)
	}
}
